// Calls the platform at the URL given by openapi-fetch, with the types that openapi-typescript has written.
import { strict as assert } from "node:assert";
import createClient from "openapi-fetch";
import type { paths } from "./types";

async function main(): Promise<void> {
  const client = createClient<paths>({ baseUrl: process.argv[2] });
  const vectors = await client.POST("/v1/embeddings", { body: { model: "minilm", input: ["a", "b"] } });
  assert.deepEqual(vectors.data?.data.map((item) => item.embedding.length), [384, 384]);

  const inputs = [{ name: "x" as const, datatype: "FP32" as const, shape: [1, 4], data: [1, 2, 3, 4] }];
  const params = { path: { model: "double" } };
  const answer = await client.POST("/v2/models/{model}/infer", { params, body: { inputs } });
  assert(answer.data !== undefined && typeof answer.data !== "string");
  assert.deepEqual(answer.data.outputs[0].data, [2, 4, 6, 8]);
  const typed = await client.POST("/v2/models/closed/infer", { body: { inputs } });
  assert(typed.data !== undefined && typeof typed.data !== "string");
  assert.deepEqual(typed.data.outputs[0].data, [2, 4, 6, 8]);

  const metadata = await client.GET("/v2/models/{model}", { params });
  assert.deepEqual(metadata.data?.inputs[0].shape, [-1, 4]);
  const refused = await client.POST("/v2/models/{model}/infer", {
    params: { path: { model: "nothing" } },
    body: { inputs },
  });
  assert.match(refused.error?.error ?? "", /no model 'nothing'/);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

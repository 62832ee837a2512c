// Calls the platform at the URL given, by the client that openapi-generator's template `typescript-fetch` has written.
import { strict as assert } from "node:assert";
import { Configuration, ModelsApi, OpenAIApi, OpenInferenceProtocolApi, ResponseError } from "./client";

async function main(): Promise<void> {
  const configuration = new Configuration({ basePath: process.argv[2] });
  const vectors = await new OpenAIApi(configuration).embeddings({
    embeddingsRequest: { model: "minilm", input: ["a", "b"] },
  });
  assert.deepEqual(vectors.data.map((item) => (item.embedding as number[]).length), [384, 384]);

  const tensor = { name: "x", datatype: "FP32", shape: [1, 4], data: [1, 2, 3, 4] } as const;
  const inputs = [{ ...tensor, shape: [...tensor.shape], data: [...tensor.data] }];
  const protocol = new OpenInferenceProtocolApi(configuration);
  const answer = await protocol.infer({ model: "double", inferRequest: { inputs } });
  assert.deepEqual(answer.outputs[0].data, [2, 4, 6, 8]);
  const typed = await new ModelsApi(configuration).modelClosedInfer({ modelClosedInferRequest: { inputs } });
  assert.deepEqual(typed.outputs[0].data, [2, 4, 6, 8]);
  const pixels = [{ name: "pixels", datatype: "FP32" as const, shape: [1, 64], data: Array<number>(64).fill(0) }];
  const outputs = [{ name: "label" }, { name: "probabilities" }];
  const digit = await protocol.infer({ model: "digits", inferRequest: { inputs: pixels, outputs } });
  assert.deepEqual(digit.outputs.map((output) => output.data?.length), [1, 10]);

  assert.deepEqual((await protocol.modelMetadata({ model: "double" })).inputs[0].shape, [-1, 4]);
  const refused: unknown = await protocol
    .infer({ model: "nothing", inferRequest: { inputs } })
    .catch((error) => error);
  assert(refused instanceof ResponseError);
  assert.match((await refused.response.json()).error, /no model 'nothing'/);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

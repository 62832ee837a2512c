// Posts a body in each of the ways of node's clients, over the connections that they keep: URL BODY.
import http from "node:http";

const [url, body] = process.argv.slice(2);

const agent = new http.Agent({ keepAlive: true });

function request(headers, send) {
  return new Promise((resolve, reject) => {
    const asking = http.request(url, { method: "POST", agent, headers }, async (answer) => {
      let text = "";
      for await (const part of answer) text += part;
      resolve(text);
    });
    asking.on("error", reject);
    send(asking);
  });
}

for (let times = 0; times < 2; times++) {
  console.log(await (await fetch(url, { method: "POST", body })).text());
  console.log(await request({}, (asking) => asking.end(body)));
  console.log(await request({}, (asking) => (asking.write(body), asking.end())));
  console.log(await request({ expect: "100-continue" }, (asking) => asking.on("continue", () => asking.end(body))));
}
agent.destroy();

// In place of the compiled part of aws-lambda-ric, which takes a C++ compiler, autotools and minutes to build: the three
// calls of Lambda's Runtime API that AWS's client makes through it. Everything else of the client is AWS's.
const BASE = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;

/** The answer that is on its way, for the next invocation comes only after it. */
let answered = Promise.resolve();

export async function next() {
  await answered;
  const response = await fetch(`${BASE}/next`);
  return { bodyJson: await response.text(), headers: Object.fromEntries(response.headers) };
}

export function done(requestId, body) {
  answered = post(`${requestId}/response`, body);
}

export function error(requestId, body, xrayCause) {
  answered = post(`${requestId}/error`, body, { "Lambda-Runtime-Function-XRay-Error-Cause": xrayCause });
}

async function post(path, body, headers = {}) {
  const response = await fetch(`${BASE}/${path}`, { method: "POST", body, headers });
  if (!response.ok) throw new Error(`the Runtime API answered ${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}

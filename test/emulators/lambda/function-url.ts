import type { IncomingHttpHeaders } from "node:http";

import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";

import type { Answer, Received } from "../loopback-server.ts";

const DOMAIN = "a1b2c3.lambda-url.eu-west-1.on.aws";

/** What a function URL makes of a request: payload format 2.0, as AWS documents it. */
export function eventOf({ method, path, headers, body }: Received): APIGatewayProxyEventV2 {
  const { pathname, search } = new URL(`https://${DOMAIN}${path}`);
  const type = headers["content-type"] ?? "";
  // Text goes as it is only where it is said to be text.
  const isText = /^(text\/|application\/(json|javascript|xml))/.test(type);
  return {
    version: "2.0",
    routeKey: "$default",
    rawPath: pathname,
    rawQueryString: search.slice(1),
    headers: {
      ...joined(headers),
      host: DOMAIN,
      "x-forwarded-for": "203.0.113.9",
      "x-forwarded-port": "443",
      "x-forwarded-proto": "https",
    },
    requestContext: {
      accountId: "anonymous",
      apiId: "a1b2c3",
      domainName: DOMAIN,
      domainPrefix: "a1b2c3",
      http: { method, path: pathname, protocol: "HTTP/1.1", sourceIp: "203.0.113.9", userAgent: "test" },
      requestId: "11111111-2222-3333-4444-555555555555",
      routeKey: "$default",
      stage: "$default",
      time: "25/Nov/2026:00:00:00 +0000",
      timeEpoch: 1_795_564_800_000,
    },
    ...(body.length > 0 && { body: body.toString(isText ? "utf8" : "base64") }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

/** What a function URL makes of a function's answer. */
export function answerOf(result: APIGatewayProxyStructuredResultV2): Answer {
  const headers = Object.fromEntries(
    Object.entries(result.headers ?? {}).map(([name, value]) => [name, String(value)]),
  );
  const body = Buffer.from(result.body ?? "", result.isBase64Encoded === true ? "base64" : "utf8");
  return { status: result.statusCode ?? 200, headers, body };
}

/** Names are lower-case; values of one name are joined. */
function joined(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]): [string, string][] =>
      value === undefined || name === "connection" ? [] : [[name, String(value)]],
    ),
  );
}

import { type BrokerProblem, problemBody, problemHeaders } from "../broker/problem.ts";
import { PROBLEM_MEDIA_TYPE, statusOf } from "../wire/problem.ts";

/** A problem as the answer of a runtime, where no request came as far as the broker. */
export function problemResponse(problem: BrokerProblem, requestId: string): Response {
  return new Response(JSON.stringify(problemBody(problem, requestId)), {
    status: statusOf(problem.code),
    headers: {
      ...problemHeaders(problem),
      "Content-Type": PROBLEM_MEDIA_TYPE,
      "Cache-Control": "no-store",
      "X-Request-Id": requestId,
    },
  });
}

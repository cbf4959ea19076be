"""What arrives and is no HTTP at all is refused with the same body as everything else."""

from __future__ import annotations

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from jobstate.http.problems import problem


class Protocol(H11Protocol):
    """HTTP/1.1 as uvicorn has it, but for the words of its refusal."""

    def send_400_response(self, msg: str) -> None:
        """Answer, and close: nobody knows where the next request would begin."""
        answer = problem(400, "INVALID_REQUEST", "this is no valid HTTP/1.1 request")
        headers = [*answer.raw_headers, (b"connection", b"close")]
        for event in (
            h11.Response(status_code=answer.status_code, headers=headers, reason=b"Bad Request"),
            h11.Data(data=bytes(answer.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

"""Who asks, as a dependency of the routes: a `Principal`, or 401, 403, 429.

`Reader`, `Submitter` and the like are what a route declares; `authenticated` stands before the whole of
`/v1`, so that a route that declares none still answers nobody unknown. How a credential is judged is
`dras_service.security`'s.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Security
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from dras_service.api.problems import Problem, ProblemCode
from dras_service.api.scopes import Scope
from dras_service.gateway.problems import problem_answer, retry_after
from dras_service.security.gatekeeper import Gatekeeper, NotRecognised, TooManyFailures
from dras_service.security.principal import Principal, ScopeMissing

# What any address behind `authenticated` may answer; list them in its OpenAPI responses.
AUTHENTICATION_PROBLEMS = (
    ProblemCode.UNAUTHENTICATED,
    ProblemCode.SCOPE_MISSING,
    ProblemCode.TOO_MANY_FAILURES,
)
_CHALLENGE = 'Bearer realm="dras"'  # RFC 6750, 3
_bearer = HTTPBearer(
    scheme_name="bearer",
    description="A key of `dras keys create`, or an access token of the configured issuer.",
    auto_error=False,
)


def add_authentication(app: FastAPI, gatekeeper: Gatekeeper) -> None:
    """Let `gatekeeper` judge every caller of `app`."""
    app.state.gatekeeper = gatekeeper

    @app.exception_handler(NotRecognised)
    async def _nobody(_request: Request, error: NotRecognised) -> JSONResponse:
        challenge = f'{_CHALLENGE}, error="invalid_token"' if error.given else _CHALLENGE
        return problem_answer(Problem.of(ProblemCode.UNAUTHENTICATED), {"WWW-Authenticate": challenge})

    @app.exception_handler(ScopeMissing)
    async def _missing(_request: Request, error: ScopeMissing) -> JSONResponse:
        problem = Problem.of(ProblemCode.SCOPE_MISSING, {"scope": error.scope})
        challenge = f'{_CHALLENGE}, error="insufficient_scope", scope="{error.scope}"'
        return problem_answer(problem, {"WWW-Authenticate": challenge})

    @app.exception_handler(TooManyFailures)
    async def _too_many(_request: Request, error: TooManyFailures) -> JSONResponse:
        return problem_answer(Problem.of(ProblemCode.TOO_MANY_FAILURES), retry_after(error.wait_s))


def authenticated(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]
) -> Principal:
    """Return who asks. Raises NotRecognised, TooManyFailures, StoreError."""
    gatekeeper: Gatekeeper = request.app.state.gatekeeper
    address = request.client.host if request.client else ""
    principal = gatekeeper.recognise(credentials.credentials if credentials else None, address=address)
    request.state.principal = principal  # for the audit trail, which stands outside
    return principal


Caller = Annotated[Principal, Depends(authenticated)]


def requires(scope: Scope) -> Callable[[Principal], Awaitable[Principal]]:
    """Make the dependency of a route that only callers with `scope` may use. It raises ScopeMissing."""

    async def check(principal: Caller) -> Principal:
        principal.require(scope)
        return principal

    return check


Submitter = Annotated[Principal, Depends(requires(Scope.SUBMIT))]
Reader = Annotated[Principal, Depends(requires(Scope.READ))]
Canceller = Annotated[Principal, Depends(requires(Scope.CANCEL))]
Purger = Annotated[Principal, Depends(requires(Scope.PURGE))]
Administrator = Annotated[Principal, Depends(requires(Scope.ADMIN))]
Scraper = Annotated[Principal, Depends(requires(Scope.METRICS))]

"""What the gateway tells about itself: its release, and the page that shows its API."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

NAME: Final = "headrace"
# Swagger UI's files, from a package that carries them: /docs works where no content network can be reached.
_SWAGGER_UI: Final = ("fastapi_swagger", "resources")


def release() -> str:
    """The version of headrace."""
    try:
        return version(NAME)
    except PackageNotFoundError:  # run from its source, not installed
        return "0+source"


def router() -> APIRouter:
    """`/docs`, for people."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        # Relative, so that the page works behind a proxy that puts a prefix before our paths.
        return get_swagger_ui_html(
            title=NAME,
            openapi_url="openapi.json",
            swagger_js_url="docs/files/swagger-ui-bundle.js",
            swagger_css_url="docs/files/swagger-ui.css",
            swagger_favicon_url="docs/files/favicon-32x32.png",
        )

    router.mount("/docs/files", StaticFiles(packages=[_SWAGGER_UI]))
    return router

"""Where a process finds the registry and the artifacts; read from the environment once, when it starts."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class StorageSettings(BaseSettings):
    """`HEADRACE_DATABASE_URL` and `HEADRACE_ARTIFACTS_URL`."""

    model_config = SettingsConfigDict(env_prefix="HEADRACE_")

    database_url: str = Field(
        default="sqlite+aiosqlite:///.headrace/registry.db",
        description="The registry's database: sqlite:///path/to/file or postgresql://user:password@host/database.",
    )
    artifacts_url: str = Field(
        default=".headrace/artifacts",
        description="Where the artifacts' files are: a folder, or s3://bucket/prefix "
        "(credentials, region and endpoint from the AWS_* variables).",
    )

"""Declare the settings of the replica: how to reach the bucket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from archiver.config import value_types as types
from archiver.config.schema import setting
from archiver.errors import LazyMessage

#: A week. With a longer period, the loss of the server would destroy much work that the replica does not have yet.
LONGEST_GRACE_HOURS = 168
_GRACE_HOURS = replace(
    types.number(0),
    requirement=LazyMessage("must be a number from 0 to {most}", most=LONGEST_GRACE_HOURS),
    accepts=lambda hours: types.number(0).accepts(hours) and hours <= LONGEST_GRACE_HOURS,
)


@dataclass(frozen=True, slots=True)
class BucketAccess:
    """How to reach the bucket.

    The bucket itself and its prefix are not settings: ``archiver replica init`` journals them. Some fields are
    named more precisely than their keys in the file.
    """

    endpoint: str = setting(
        "replica.endpoint",
        types.WEB_ADDRESS,
        default="",
        summary=LazyMessage("S3 endpoint URL (default: AWS)."),
        example="https://s3.example.com",
    )
    region: str = setting(
        "replica.region",
        types.TEXT,
        default="",
        summary=LazyMessage("Region of the bucket."),
        example="cn-north-1",
    )
    addressing_style: str = setting(
        "replica.style",
        types.choice(
            ("auto", "path", "virtual"), LazyMessage('must be "auto", "path" or "virtual"'), when_empty="auto"
        ),
        default="auto",
        summary=LazyMessage(
            "Position of the bucket's name in addresses: in the path (path) or in the host name (virtual)."
        ),
    )
    #: None: boto3 searches the usual places for credentials, such as the environment.
    credentials_file: Path | None = setting(
        "replica.credentials",
        types.OPTIONAL_FILE,
        default=None,
        summary=LazyMessage(
            "Credentials file, mode 0600, in the format of ~/.aws/credentials (default: the AWS search order)."
        ),
        example="bucket-keys",
    )
    ca_file: Path | None = setting(
        "replica.ca",
        types.OPTIONAL_FILE,
        default=None,
        summary=LazyMessage("Certificates (PEM) for checking the endpoint."),
        example="/etc/ssl/company-ca.pem",
    )
    proxy: str = setting(
        "replica.proxy",
        types.TEXT,
        default="",
        summary=LazyMessage("Address of the proxy for the bucket."),
        example="http://proxy.example.com:3128",
    )
    max_mb_per_second: float = setting(
        "replica.bandwidth_mb",
        types.number(0),
        default=0.0,
        summary=LazyMessage("Upload limit in MB per second (0: no limit)."),
    )
    max_transfers: int = setting(
        "replica.parallel",
        types.TRANSFERS,
        default=8,
        summary=LazyMessage("Number of concurrent transfers, at most 64."),
    )
    grace_hours: float = setting(
        "replica.grace_hours",
        _GRACE_HOURS,
        default=24.0,
        summary=LazyMessage(
            "Hours for which the replica holds back new content, which a lock would keep for years if it was "
            "saved by mistake (0: none). A submission ends the period."
        ),
    )
    alert_hours: float = setting(
        "replica.alert_hours",
        types.number(0.01),
        default=24.0,
        summary=LazyMessage("Hours after which status warns of data that is not replicated."),
    )

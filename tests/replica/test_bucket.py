"""The port lets only its own errors out, however the S3 client or the server behaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, IncompleteReadError, NoCredentialsError
from urllib3.exceptions import ProtocolError

from archiver.replica.bucket import BucketProblem, ObjectMissing, RequestForbidden
from archiver.replica.bucket_settings import BucketSettings
from archiver.replica.s3 import S3Bucket
from tests.replica.conftest import write_keys


class MisbehavingClient:
    """Does the same to every request: raises an error, or returns a reply."""

    def __init__(self, behaviour: Exception | dict[str, object]) -> None:
        self.behaviour = behaviour

    def __getattr__(self, operation: str) -> Callable[..., dict[str, object]]:
        def request(**_arguments: object) -> dict[str, object]:
            if isinstance(self.behaviour, Exception):
                raise self.behaviour
            return self.behaviour

        return request


def error_reply(code: str, operation: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, operation)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> S3Bucket:
    """A bucket whose client each test replaces."""
    keys = write_keys(tmp_path_factory.mktemp("bucket") / "bucket-keys", "access", "secret")
    return S3Bucket(BucketSettings("a-bucket", "x/", endpoint_url="http://127.0.0.1:9", credentials_file=keys))


#: Requests that read a reply, so that an empty one has to be noticed.
READING: dict[str, Callable[[S3Bucket], object]] = {
    "object_info": lambda bucket: bucket.object_info("key", "version"),
    "download": lambda bucket: list(bucket.download("key", "version")),
    "list_versions": lambda bucket: list(bucket.list_versions("")),
}
REQUESTS: dict[str, Callable[[S3Bucket], object]] = {
    **READING,
    "upload": lambda bucket: bucket.upload("key", Path(__file__), "00" * 32, None),
    "delete_version": lambda bucket: bucket.delete_version("key", "version"),
    "is_versioned": lambda bucket: bucket.is_versioned(),
}
FAILURES: dict[str, Exception] = {
    "an unknown code": error_reply("Teapot", "Any"),
    "a code that echoes a page": error_reply("<html>" * 100, "Any"),
    "nobody listens": EndpointConnectionError(endpoint_url="http://127.0.0.1:9"),
    "a short body": IncompleteReadError(actual_bytes=1, expected_bytes=2),
    "a torn connection": ProtocolError("torn"),
    "no credentials": NoCredentialsError(),
    "a full disk": OSError(28, "No space left on device"),
    "a member of another type": ValueError("invalid literal for int()"),
}


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_client_is_a_problem_of_the_bucket(bucket: S3Bucket, request_name: str, failure: str) -> None:
    bucket._client = MisbehavingClient(FAILURES[failure])
    with pytest.raises(BucketProblem) as raised:
        REQUESTS[request_name](bucket)
    assert "<html>" not in str(raised.value), "the text of a page gets into a message"


@pytest.mark.parametrize("request_name", READING)
def test_a_reply_without_its_members_is_a_problem_of_the_bucket(bucket: S3Bucket, request_name: str) -> None:
    # Truncated, and without the marker of the next page: the next request would be the same again.
    bucket._client = MisbehavingClient({"IsTruncated": True})
    with pytest.raises(BucketProblem, match="is not an S3 server"):
        READING[request_name](bucket)


def test_a_missing_object_is_told_from_a_missing_bucket(bucket: S3Bucket) -> None:
    bucket._client = MisbehavingClient(error_reply("404", "HeadObject"))
    assert bucket.object_info("key", "version") is None
    bucket._client = MisbehavingClient(error_reply("NoSuchKey", "GetObject"))
    with pytest.raises(ObjectMissing):
        list(bucket.download("key", "version"))
    bucket._client = MisbehavingClient(error_reply("404", "ListObjectVersions"))
    with pytest.raises(BucketProblem, match="the bucket does not exist"):
        list(bucket.list_versions(""))


def test_a_refusal_is_told_from_a_failure_where_it_is_expected(bucket: S3Bucket) -> None:
    bucket._client = MisbehavingClient(error_reply("AccessDenied", "Any"))
    with pytest.raises(RequestForbidden):
        bucket.delete_version("key", "version")
    assert not bucket.has_object_lock()
    with pytest.raises(BucketProblem, match="access denied for this key"):
        bucket.is_versioned()

"""boto3, as Amazon Bedrock and Amazon Rekognition both use it: one client, deadlines, and what errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from deployments.errors import ProviderError, ProviderUnavailable
from deployments.providers.policy import (
    error_of_status,
    malformed,
    missing_credentials,
    missing_extra,
    missing_setting,
    within,
)

T = TypeVar("T")
CREDENTIALS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_CONNECT_S = 5.0
_QUOTA = frozenset(
    "ThrottlingException ProvisionedThroughputExceededException LimitExceededException "
    "ServiceQuotaExceededException TooManyRequestsException".split()
)
_REFUSED_CREDENTIALS = frozenset(
    "AccessDeniedException UnrecognizedClientException InvalidSignatureException ExpiredTokenException "
    "IncompleteSignatureException MissingAuthenticationTokenException InvalidClientTokenId "
    "SubscriptionRequiredException".split()
)
"""Services that speak JSON say these with status 400, as they do of a bad picture."""


class AwsClient:
    def __init__(
        self,
        vendor: str,
        service: str,
        region: str | None,
        region_variable: str,
        endpoint_url: str | None,
        timeout_s: float,
        keyless: str,
    ) -> None:
        """`region_variable` names the setting of the region, `keyless` the engine that works without AWS.

        Raises `ProviderUnavailable` without the SDK, a region or credentials.
        """
        try:
            import boto3
            import botocore.exceptions
            import botocore.parsers
            from botocore.config import Config
        except ImportError as error:
            raise missing_extra(vendor, keyless) from error
        session = boto3.Session(region_name=region)
        if session.region_name is None:
            raise missing_setting(vendor, "region", region_variable, keyless)
        if session.get_credentials() is None:
            raise missing_setting(vendor, "credentials", CREDENTIALS, keyless)
        self._vendor, self._keyless = vendor, keyless
        self._timeout_s = timeout_s
        self._errors: Any = botocore.exceptions
        self._parser_error: type[Exception] = botocore.parsers.ResponseParserError
        self._client: Any = session.client(
            service,
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=min(_CONNECT_S, timeout_s), read_timeout=timeout_s, retries={"total_max_attempts": 1}
            ),
        )

    async def call(self, request: Callable[[Any], T]) -> T:
        """What `request` makes of the client, in a thread: building the request, waiting and parsing all block.

        Raises `ProviderUnavailable`, `ProviderRejected`.
        """
        # The thread of a call that is given up ends with its own read timeout.
        async with within(self._timeout_s, self._vendor):
            return await asyncio.to_thread(self._call, request)

    async def aclose(self) -> None:
        self._client.close()

    def _call(self, request: Callable[[Any], T]) -> T:
        try:
            return request(self._client)
        except self._errors.ClientError as error:
            raise self._meaning(error.response) from error
        except self._errors.NoCredentialsError as error:
            raise missing_credentials(self._vendor, CREDENTIALS, self._keyless) from error
        except (self._parser_error, ValueError) as error:
            raise malformed(self._vendor) from error
        except self._errors.BotoCoreError as error:
            raise ProviderUnavailable(f"{self._vendor} cannot be reached.") from error

    def _meaning(self, response: Any) -> ProviderError:
        code = response.get("Error", {}).get("Code", "")
        status = int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code in _QUOTA:
            status = 429
        if code in _REFUSED_CREDENTIALS:
            status = 403
        return error_of_status(self._vendor, status, CREDENTIALS, self._keyless)

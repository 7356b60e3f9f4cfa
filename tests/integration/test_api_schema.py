"""The OpenAPI document against the server: whatever it allows is answered, and as it says."""

from __future__ import annotations

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS  # noqa: F401 - registers them
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.api_server import serving

SYMBOLS = ["AAPL", "XOM", "^GSPC", "MSFT", "TSLA", "AZN.L", "<"]
#: A stream never ends, and has tests of its own.
LEFT_OUT = {"/stream"}


def check_operations(api, shared_desk, total: int) -> int:
    schema = schemathesis.openapi.from_url(f"{api.base_url}/openapi.json", timeout=120)
    operations = [found.ok() for found in schema.get_all_operations()]
    operations = [each for each in operations if each.path not in LEFT_OUT]
    checks = [content_type_conformance, response_headers_conformance, response_schema_conformance,
              status_code_conformance]  # fmt: skip
    asked = 0

    for operation in operations:

        @seed(8)
        @settings(
            max_examples=-(-total // len(operations)),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate],
        )
        @given(case=operation.as_strategy(), symbol=st.sampled_from(SYMBOLS), real=st.integers(0, 3))
        def conforms(case, symbol, real):
            nonlocal asked
            query, body = case.query or {}, case.body
            if not real and "symbol" in query:
                query["symbol"] = symbol
            if not real and "symbols" in query:
                query["symbols"] = "AAPL,XOM"
            if not real and isinstance(body, dict) and isinstance(body.get("symbols"), list):
                body["symbols"] = ["AAPL", "XOM", "JPM"]
            if case.path == "/volatility":
                query |= {"models": "rolling", "origins": 40, "wait": 0}
            elif "leaderboard" in case.path:
                # What is drawn is the question, not the machine's patience.
                query |= {"models": "naive", "origins": 40, "wait": 0}
            elif "backtest" in case.path:
                query["wait"] = 0
            elif case.path in ("/prediction", "/explain") and not real:
                query["model"] = "naive"
            case.query = query
            asked += 1
            response = case.call(base_url=str(api.base_url), timeout=600)
            assert response.status_code < 500, (response.status_code, response.text[:300], query, body)
            case.validate_response(response, checks=checks)

        conforms()
    return asked


@pytest.fixture(scope="module")
def api(shared_desk):
    # A starved machine's time-outs are no findings.
    patient = shared_desk.settings.model_copy(update={"api_rate_limit": 0.0, "api_timeout": 600.0})
    with serving(shared_desk, patient, grace=0.0) as client:
        yield client


def test_every_answer_is_as_the_document_says(api, shared_desk):
    assert check_operations(api, shared_desk, 200) >= 150


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_every_answer_is_as_the_document_says_2000_times(api, shared_desk):
    assert check_operations(api, shared_desk, int(os.environ.get("QUANTKIT_CASES", "2000"))) >= 1500

"""The contracts for authors of backends, providers and plug-ins, each run by one line of a test file.

::

    from mailer.testing.conformance import BackendContract, PluginContract, ProviderContract, answer

    TestLoft = BackendContract.of(lambda: LoftBackend("loft.db"))
    TestPigeon = ProviderContract.of(Pigeon("t0ken-of-pigeon"), ok=answer(200, {"id": "m-1"}))
    TestLabels = PluginContract.of(Labels, settings={"text": "staging"})

A subclass says what one line cannot. For failures that show both sides, say
``pytest.register_assert_rewrite("mailer.testing")`` before the import.
"""

from __future__ import annotations

from .contract import BackendContract
from .plugin_contract import PluginContract
from .provider_contract import ProviderContract, answer

__all__ = ["BackendContract", "PluginContract", "ProviderContract", "answer"]

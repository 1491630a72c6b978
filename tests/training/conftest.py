from tests.indexer.conftest import runtime as runtime

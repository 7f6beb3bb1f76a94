"""The wire: the ExecutionBroker contract, version 1.0.

One module a family of models; `read` and `write` translate between them and `broker.model`.
"""

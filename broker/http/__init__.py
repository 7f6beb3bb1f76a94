"""The service over HTTP: routers, content negotiation, who may do what, errors. Nothing is decided here."""

"""Runs in the environment of the `canfar` client: one call for each line of JSON, one line for its result.

A line is {"class", "options", "method", "arguments"}; the answer {"result"}, or {"error"}: what was raised.
"""

# mypy: ignore-errors

import json
import logging
import sys


def main() -> None:
    from canfar.context import Context
    from canfar.images import Images
    from canfar.models.config import Configuration
    from canfar.models.registry import ContainerRegistry
    from canfar.overview import Overview
    from canfar.sessions import Session

    logging.disable(logging.CRITICAL)
    classes = {each.__name__: each for each in (Context, Images, Overview, Session)}
    for line in sys.stdin:
        asked = json.loads(line)
        options = asked["options"]
        registry = options.pop("registry", None)
        if registry is not None:
            options["config"] = Configuration(registry=ContainerRegistry(**registry))
        try:
            client = classes[asked["class"]](**options)
            result = getattr(client, asked["method"])(**asked["arguments"])
            if isinstance(result, list):
                result = [each.model_dump() if hasattr(each, "model_dump") else each for each in result]
            answer = {"result": result}
        except Exception as error:
            answer = {"error": type(error).__name__}
        sys.stdout.write(json.dumps(answer, default=str) + "\n")
        sys.stdout.flush()


main()

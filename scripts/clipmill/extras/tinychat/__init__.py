"""An adapter for VILA1.5-AWQ: OpenAI's chat protocol on one side, TinyChat's worker (mit-han-lab/llm-awq) on the other.

`question` makes the worker's question of a request, `worker` asks the worker, `server` serves.
"""

"""`make soak`: thirty targets behind a network that misbehaves, and what must hold all the time.

`members.py` lists the targets, `plan.py` draws from a seed what happens to them. `proxy.py` and `hungry.py`
do it to connections, `fleet.py` and `papers.py` to servers, names and secrets. `watch.py` and `slot.py` look
at the exporter, `run.py` runs it all, and `report.py` says what was measured and what did not hold.
"""

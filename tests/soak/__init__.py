"""`make soak`: thirty targets behind a network that misbehaves, many more with names that never come twice.

`members.py` lists the targets, `plan.py` draws from a seed what happens to them. `proxy.py` and `hungry.py`
do it to connections, `crowd.py` to names of clients, `fleet.py` and `papers.py` to servers, to names of
targets and to secrets. `watch.py` and `slot.py` look at the exporter, `run.py` runs it all, and `report.py`
says what was measured and what did not hold.
"""

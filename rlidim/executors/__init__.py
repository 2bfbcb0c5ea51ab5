"""Where cells run: in this process, in a pool of worker processes, or on a Ray cluster.

An executor gets jobs (``job``), each of which becomes a run (``making``) that is written once
(``ledger``). Ray is imported by ``ray.driver``, in a process of its own, and on its nodes.
"""

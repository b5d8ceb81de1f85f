"""Work items, their ledger, feeding the cluster, failures; knows no physics."""

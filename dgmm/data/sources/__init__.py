"""Sources: inputs that are no plain array of rows × features, read once, part by part.

`row_source` is the protocol; each other module or package here is one kind of input. What reads
them (`dgmm.ingest`) writes plain rows, and EM knows of those alone.
"""

"""Job files: YAML to frozen, validated values. The only room that knows ruamel.yaml and pydantic.

`load_job` reads a file and returns a `Job` or names every fault of the file at once; `json_schema`
describes the file to editors; `to_yaml` writes a resolved job back.
"""

from dgmm.config.loading import load_job
from dgmm.config.schema import (
    ClusterSettings,
    ComputeSettings,
    DataSettings,
    InitialisationSettings,
    Job,
    ModelSettings,
    OutputSettings,
    json_schema,
)
from dgmm.config.writing import to_yaml

__all__ = [
    "ClusterSettings",
    "ComputeSettings",
    "DataSettings",
    "InitialisationSettings",
    "Job",
    "ModelSettings",
    "OutputSettings",
    "json_schema",
    "load_job",
    "to_yaml",
]

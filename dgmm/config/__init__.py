"""Job files: YAML to frozen, validated values. The only package with ruamel.yaml and pydantic.

`load_job` reads a file and returns a `Job`, or raises an error that lists all its problems;
`json_schema` describes the file to editors; `to_yaml` writes a resolved job. `schema` has the keys,
`cross_checks` what keys demand of each other, `reserved_keys` those that are refused by name.
"""

from dgmm.config.loading import load_job
from dgmm.config.model_settings import (
    InitialisationSettings,
    ModelSettings,
    SelectionSettings,
)
from dgmm.config.schema import (
    ClusterSettings,
    ComputeSettings,
    DataSettings,
    Job,
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
    "SelectionSettings",
    "json_schema",
    "load_job",
    "to_yaml",
]

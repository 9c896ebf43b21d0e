"""The doctor names the fields that a refusal is about."""

import pytest

from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.doctor.profile_fix_hints import fields_to_mend
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport

OF_QUOTING = "`directives`, `shared_directory`"
REMEDIES = [
    (SlurmTransport, "Invalid directive found in batch script: data/logs/%x-%j.log", OF_QUOTING),
    (SlurmTransport, "sbatch: unrecognized option '--nosuch'", OF_QUOTING),
    (PbsTransport, "qsub: illegal -o value", OF_QUOTING),
    (PbsTransport, "usage: qsub [-a date_time]", OF_QUOTING),
    (SlurmTransport, "Invalid partition name specified", "`sizing.queues`, `account`"),
    (SlurmTransport, "Invalid account or account/partition combination specified", "`sizing.queues`, `account`"),
    (PbsTransport, "qsub: Unknown queue", "`sizing.queues`, `account`"),
    (SlurmTransport, "Invalid qos specification", "`qos`"),
    (SlurmTransport, "Invalid feature specification", "`constraint`"),
    (SlurmTransport, "something else", "`sizing.queues`, `account`, `qos`, `constraint`, `directives`"),
    (PbsTransport, "something else", "`sizing.queues`, `account`, `project`, `storage`, `directives`"),
]


@pytest.mark.parametrize(("kind", "words", "fields"), REMEDIES)
def test_the_fields_are_those_that_the_words_are_about(kind: type[BatchTransport], words: str, fields: str) -> None:
    assert fields_to_mend(words, kind()) == fields

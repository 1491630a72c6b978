from __future__ import annotations

from pathlib import Path

import pytest

import vitrine
from tests.services.vector_store.edge_points import wait_until
from vitrine.services.jobs.jobs import Jobs
from vitrine.services.jobs.supervisor import jobs_run_in_background, supervisor_of


def test_a_job_is_started_followed_and_read(tmp_path: Path) -> None:
    with vitrine.open(tmp_path, encoder="colour", progress=False) as v:
        v.create("shop")
        job = v.jobs.start("category-optimize", name="shop")
        assert [one.id for one in v.jobs.find()] == [job.id]
        with pytest.raises(vitrine.Unavailable, match="Nobody runs the jobs"):
            v.jobs.wait(job)
        jobs = Jobs(v.settings)
        with jobs_run_in_background(jobs):
            wait_until(lambda: supervisor_of(tmp_path) is not None)
            done = v.jobs.wait(job)
        assert (done.state, done.report) == ("done", {"category": "shop", "images": 0, "indexed_vectors": 0})
        assert "vitrine category optimize" in v.jobs.log(job.id)
        again = v.jobs.retry(job.id)
        assert v.jobs.cancel(again.id).state == "cancelled"
        with pytest.raises(vitrine.BadRequest, match="has no argument 'odd'"):
            v.jobs.start("category-optimize", name="shop", odd=1)
        assert "map-make" in v.jobs.kinds()
        jobs.close()

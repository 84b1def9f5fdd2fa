"""Pages of metrics of several nodes as one."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from serve_app.ray_metrics import merged

HEAD = "# HELP ray_darkroom_pictures_total Pictures\n# TYPE ray_darkroom_pictures_total counter\n"
OTHER = "# HELP ray_node_mem_used Memory\n# TYPE ray_node_mem_used gauge\nray_node_mem_used 5\n"


def page(replica: str, value: int) -> str:
    return f'{OTHER}{HEAD}ray_darkroom_pictures_total{{replica="{replica}"}} {value}\n{OTHER}'


def test_the_lines_of_a_metric_stand_together_under_one_head() -> None:
    whole = merged([page("a", 1), page("b", 2)]).decode()
    assert whole == (HEAD + 'ray_darkroom_pictures_total{replica="a"} 1\nray_darkroom_pictures_total{replica="b"} 2\n')
    [family] = text_string_to_metric_families(whole)
    assert {sample.labels["replica"]: sample.value for sample in family.samples} == {"a": 1.0, "b": 2.0}


def test_the_buckets_of_a_histogram_stay_with_it() -> None:
    text = (
        "# TYPE ray_darkroom_job_seconds histogram\n"
        'ray_darkroom_job_seconds_bucket{le="1.0"} 2\nray_darkroom_job_seconds_count 2\n'
    )
    assert merged([text]).decode() == text


def test_no_machine_is_named() -> None:
    where = 'Component="core_worker",NodeAddress="10.0.0.7",SessionName="s"'
    line = f'ray_darkroom_jobs{{{where},replica="a",status="queued",otel_scope_name="o"}} 1'
    merged_line = merged([f"# TYPE ray_darkroom_jobs gauge\n{line}\n"]).decode().splitlines()[1]
    assert merged_line == 'ray_darkroom_jobs{replica="a",status="queued"} 1'


def test_what_is_rays_own_is_left_out() -> None:
    assert merged([OTHER]) == b""
    assert merged([""]) == b""

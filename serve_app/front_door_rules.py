"""Rules of the front door: HAProxy's configuration, what it refuses, and what it repeats or says in place of Serve."""

from __future__ import annotations

import json
from string import Template

from configs.settings import FrontDoorOptions
from deployments.errors import DarkroomError, Forbidden, NotFound, Overloaded, RequestTimeout, Unavailable
from serve_app.api.context import HARMLESS_ID
from serve_app.api.paths import IMMICH_PATHS
from serve_app.control_headers import ORDERS
from serve_app.lost_answers import LOST_STATUS, REPEATS_HEADER
from serve_app.services.jobs.problems import problem_members

_HOP = "x-darkroom-hop"
"""Header of a request that another node's door has sent here: this one sends it no further."""
_OWN_502 = "x-darkroom-own-502"
"""Mark of HAProxy's own 502. Of the application's, which is about a vendor, it says nothing."""
_FORWARDED = "A proxy sent this on that DARKROOM_FRONT_DOOR__TRUSTED_PROXIES does not name: whose it is is not known."
"""Why a door that is open to addresses (Immich's) stays shut: a proxy here would lend its own to everybody."""
CONTROL_HEADERS = tuple(sorted(ORDERS | {name.replace("-", "_") for name in ORDERS}))
"""Headers by which clients would steer Serve, which takes a hyphen for an underscore."""
_CONFIGURATION = Template("""\
global
    maxconn $connections
    nbthread 2
    tune.bufsize $header_bytes
    tune.maxrewrite 1024
    hard-stop-after 1s

${resolvers}
defaults
    mode http
    timeout connect 5s
    timeout http-request ${header_ms}ms
    timeout http-keep-alive ${idle_ms}ms
    timeout client ${idle_ms}ms
    timeout queue 30s
    timeout server ${answer_ms}ms
    timeout tunnel ${answer_ms}ms
    option abortonclose
    option http-no-delay
    retry-on conn-failure empty-response $lost
    retries 2
$errors

frontend door
    bind $address
    acl trusted src $trusted
    stick-table type ipv6 size 100k expire 1m store conn_cur,http_req_rate(10s),gpc0,gpc0_rate(10s)
    tcp-request connection track-sc0 src unless trusted
    tcp-request connection reject if { sc0_conn_cur gt $reject_connections }
    http-request return $too_many_connections if { sc0_conn_cur gt $address_connections }
    http-request return $too_many_requests if { sc0_http_req_rate gt $address_requests }
    http-request return $too_many_refusals if { sc0_gpc0_rate gt $address_refusals }
    http-request set-var(txn.key) http_auth_pass if { req.fhdr(authorization) -m beg -i basic }
    http-request set-var(txn.key) req.fhdr(authorization),word(2,' ') unless { var(txn.key) -m found }
    http-request track-sc1 var(txn.key),xxh32 table keys if { var(txn.key) -m found }
    http-request return $too_many_for_key if { sc1_http_req_rate(keys) gt $key_requests }
    http-request return $too_many_refusals if { sc1_gpc0_rate(keys) gt $key_refusals }
    http-request return $too_many_in_flight if { sc1_conn_cur(keys) gt $key_in_flight }
$strip
    http-request del-header x-serve- -m beg
    http-request del-header x-request-id unless { req.hdr(x-request-id) -m reg ^$harmless_id$$ }
    http-request return $forwarded if { path,url_dec -m str $by_address } { req.hdr(x-forwarded-for) -m found } !trusted
    http-request set-header X-Forwarded-For %[src] unless trusted
    http-request del-header X-Forwarded-Proto unless trusted
    http-request return $not_found if { path,url_dec -m beg /-/ } !{ path /-/healthz }
    http-request return $not_found unless { path_beg / }
    http-request del-header $repeats
    http-request set-header $repeats 1 if { method GET HEAD OPTIONS }
    http-request set-header $repeats 1 if METH_POST { path_beg /api/v1/albums/ }
    http-request set-header $repeats 1 if METH_POST { req.hdr(idempotency-key) -m found }
    acl repeatable req.hdr($repeats) -m found
    http-request wait-for-body time ${idle_ms}ms if repeatable METH_POST
    http-request disable-l7-retry unless repeatable
    http-response set-status 503 if { status $lost }
    acl of_serve res.hdr(content-type) -m beg text/plain
    http-response return $broke_off if { status 404 500 502 503 } of_serve
    http-response return $too_late if { status 408 504 } of_serve
    http-response return $queue_full if { status 429 } of_serve
    http-after-response set-status 503 if { res.hdr($own_502) -m found }
    http-after-response del-header $own_502
    http-response sc-inc-gpc0(0) if { status 400:499 }
    http-response sc-inc-gpc0(1) if { status 400:499 }
    option forwardfor if-none
    use_backend here if { req.hdr($hop) -m found }
    default_backend serve

backend keys
    stick-table type integer size 100k expire 1m store conn_cur,http_req_rate(10s),gpc0,gpc0_rate(10s)

backend serve
    server serve $target maxconn $server_connections$watch
$others

backend here
    server serve $target maxconn $server_connections
""")


_CHECK = "check inter 1s fall 2 rise 1"
_WATCH = f" {_CHECK} observe layer4 error-limit 1 on-error mark-down"
"""The node's own proxy is watched where another node can stand in for it: a connection that fails marks it as down."""
_STAND_IN = f"backup {_CHECK} resolvers dns init-addr last,libc,none"
_RESOLVERS = """\
resolvers dns
    parse-resolv-conf
    hold valid 10s
"""
"""Names of other nodes are looked up again, for nodes come and go."""


def configuration(settings: FrontDoorOptions, host: str, port: int, target: str) -> str:
    """Write HAProxy's configuration for a door at `host`:`port` in front of `target` (host:port)."""
    watch, others, resolvers = _with_others(settings)
    return _CONFIGURATION.substitute(
        connections=settings.connections,
        header_bytes=settings.header_bytes,
        header_ms=round(settings.header_s * 1000),
        idle_ms=round(settings.idle_s * 1000),
        answer_ms=round(settings.answer_s * 1000),
        address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        trusted=" ".join(map(str, settings.trusted_proxies)) or "0.0.0.0",  # noqa: S104 (no client has this address)
        reject_connections=2 * settings.address_connections,
        address_connections=settings.address_connections,
        address_requests=settings.address_requests,
        address_refusals=settings.address_refusals,
        key_requests=settings.key_requests,
        key_refusals=settings.key_refusals,
        key_in_flight=settings.key_in_flight,
        server_connections=settings.connections,
        target=target,
        watch=watch,
        others=others,
        resolvers=resolvers,
        hop=_HOP,
        lost=LOST_STATUS,
        repeats=REPEATS_HEADER,
        own_502=_OWN_502,
        harmless_id=HARMLESS_ID,
        strip="\n".join(f"    http-request del-header {name}" for name in CONTROL_HEADERS),
        errors="\n".join(f"    http-error {_answer(status, error)}" for status, error in _ERRORS.items()),
        broke_off=_answer(503, _ERRORS[502]),
        too_late=_answer(504, _ERRORS[504]),
        queue_full=_answer(429, Overloaded("The queue of requests is full."), 5),
        by_address=" ".join(sorted(IMMICH_PATHS)),
        forwarded=_answer(403, Forbidden(_FORWARDED)),
        not_found=_answer(404, NotFound("There is no such path.")),
        too_many_connections=_answer(429, Overloaded("Too many connections from this address."), 5),
        too_many_requests=_answer(429, Overloaded("Too many requests from this address."), 10),
        too_many_refusals=_answer(429, Overloaded("Too many requests that had to be refused."), 10),
        too_many_for_key=_answer(429, Overloaded("Too many requests with this key."), 10),
        too_many_in_flight=_answer(429, Overloaded("Too many requests in flight with this key."), 5),
    )


def _with_others(settings: FrontDoorOptions) -> tuple[str, str, str]:
    """What the configuration says about other nodes' doors. -> how to watch the own proxy, the servers, resolvers"""
    if not settings.others:
        return "", "", ""
    servers = [
        f"    server other{place} {address} maxconn {settings.connections} {_STAND_IN}"
        for place, address in enumerate(settings.others)
    ]
    lines = ["    option redispatch 1", f"    http-request set-header {_HOP} 1", *servers]
    return _WATCH, "\n".join(lines), _RESOLVERS


_ERRORS: dict[int, DarkroomError] = {
    408: RequestTimeout("The rest of the request did not come in time."),
    502: Unavailable("The process that was answering was lost: try again."),
    503: Unavailable("The server is starting, or busy with other requests."),
    504: Unavailable("The server did not answer in time."),
}
"""Answers that HAProxy gives of its own, by status. What is no HTTP request gets its fixed page, with 400 or 408."""


def _answer(status: int, error: DarkroomError, retry_after_s: int | None = None) -> str:
    """Spell a problem document as an argument of `http-error` and `http-request return`."""
    own_502 = f" hdr {_OWN_502} 1" if status == 502 else ""
    shown = 503 if status == 502 else status
    body = problem_members(error) | {"status": shown}
    retry_after_s = 5 if status in (502, 503, 504) else retry_after_s
    header = f" hdr Retry-After {retry_after_s}" if retry_after_s else ""
    return f"status {status} content-type application/problem+json string '{json.dumps(body)}'{header}{own_502}"

"""Who may talk to the studio, and what every answer carries."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import stub_tasks
from studio_samples import Studio

pytest_plugins = ("studio_samples",)

TOKEN = "a-long-and-random-token"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "", "[::1", "10.0.0.256"])
def test_another_name_for_this_machine_is_refused(studio: Studio, host: str) -> None:
    """A rebound name of somebody else's page must not reach the studio."""
    reply = studio.client.get("/", headers={"host": host})
    assert reply.status_code == 400
    assert "content-security-policy" in reply.headers


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:99", "[::1]:8000", "192.168.1.7"])
def test_own_names_are_let_in(studio: Studio, host: str) -> None:
    assert studio.client.get("/api/models", headers={"host": host}).status_code == 200


def test_a_named_host_is_let_in_only_when_allowed(open_studio: Callable[..., Studio]) -> None:
    studio = open_studio(hosts=("lab.example",))
    assert studio.client.get("/api/models", headers={"host": "lab.example:8000"}).status_code == 200
    assert studio.client.get("/api/models", headers={"host": "lab2.example"}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
    ids=["origin", "null-origin", "fetch-site"],
)
def test_another_site_cannot_send_anything(studio: Studio, headers: dict[str, str]) -> None:
    reply = studio.client.post("/api/jobs", content=stub_tasks.GOOD, headers=headers)
    assert reply.status_code == 403
    assert studio.jobs.jobs == {}
    own = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
    assert studio.client.post("/api/jobs", content=stub_tasks.GOOD, headers=own).status_code == 202


class TestToken:
    @pytest.fixture
    def guarded(self, open_studio: Callable[..., Studio]) -> Studio:
        return open_studio(token=TOKEN)

    @pytest.mark.parametrize("path", ["/", "/api/models", "/openapi.json", "/static/job.js", "/jobs/x", "/favicon.ico"])
    def test_nothing_without_it(self, guarded: Studio, path: str) -> None:
        for headers in ({}, {"authorization": "Bearer no"}, {"cookie": "whyact-token=no"}, {"cookie": "\x01;;=="}):
            reply = guarded.client.get(path, headers=headers, follow_redirects=False)
            assert reply.status_code == 401
            assert TOKEN not in reply.text
        assert guarded.client.get(f"{path}?token=no", follow_redirects=False).status_code == 401
        assert guarded.client.get(f"{path}?token=", follow_redirects=False).status_code == 401

    def test_a_machine_shows_it_in_a_header(self, guarded: Studio) -> None:
        assert guarded.client.get("/api/models", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200

    def test_a_person_shows_it_once_in_the_address(self, guarded: Studio) -> None:
        reply = guarded.client.get(f"/compare?token={TOKEN}&x=1", follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (303, "/compare?x=1")
        cookie = reply.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert guarded.client.get("/api/models").status_code == 200  # the client kept the cookie

    def test_the_address_leads_nowhere_else(self, guarded: Studio) -> None:
        reply = guarded.client.get(f"http://127.0.0.1:8000//evil.example/?token={TOKEN}", follow_redirects=False)
        assert not reply.headers.get("location", "/").startswith("//")


def test_every_answer_carries_the_headers_and_no_page_runs_foreign_or_inline_script(studio: Studio) -> None:
    id_ = studio.send()
    for path in ("/", "/compare", f"/jobs/{id_}", "/jobs/none", f"/api/jobs/{id_}", "/api/none", "/static/job.js"):
        reply = studio.client.get(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe-inline' " not in policy.split("style-src-attr")[0]
        assert reply.headers["x-content-type-options"] == "nosniff"
        if reply.headers["content-type"].startswith("text/html"):
            assert "http://" not in reply.text
            assert "https://" not in reply.text
            for tag in reply.text.split("<script")[1:]:
                assert ' src="/static/' in tag.split(">")[0]
            assert " onclick=" not in reply.text


def test_names_are_escaped_on_the_page(studio: Studio) -> None:
    id_ = studio.send(name="x&'\"img src=x onerror=alert(1).mp4")
    page = studio.client.get(f"/jobs/{id_}").text
    assert "x&amp;&#39;" in page
    assert "x&'" not in page


def test_serve_refuses_a_mistake_in_words(capsys: pytest.CaptureFixture[str], tmp_path: object) -> None:
    from whyact.cli import main

    assert main(["serve", "--model", f"{tmp_path}/none"]) == 2
    assert "a run folder" in capsys.readouterr().err
    assert main(["serve", "--runs", str(tmp_path)]) == 2
    assert "a folder with run folders in it" in capsys.readouterr().err


def test_serve_refuses_an_address_that_is_taken(stub_run: object, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    from whyact.cli import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--model", str(stub_run), "--port", port]) == 2
    assert "an address that is free" in capsys.readouterr().err


def test_serve_refuses_a_port_that_cannot_be_and_tells_its_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    from whyact.cli import main
    from whyact.studio.limits import MB, Limits

    assert main(["serve", "--port", "99999"]) == 2
    assert "--port: found 99999, expected a port from 0 to 65535" in capsys.readouterr().err
    assert main(["serve", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for option, value in (("mb", Limits().size // MB), ("seconds", 600), ("memory-mb", Limits().memory // MB)):
        assert re.search(rf"--max-{option} N of an? \w+ \(default: {value}\)", said)

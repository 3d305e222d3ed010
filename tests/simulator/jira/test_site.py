"""The simulated Jira speaks as the real one does: searches, tokens, windows, sign-in, OAuth."""

import base64
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from integrations_api.simulator.jira import Flavour, JiraSite, ManualClock, Simulator, User, evolve
from integrations_api.simulator.jira.access import (
    DEFAULT_API_TOKEN,
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    DEFAULT_PASSWORD,
    DEFAULT_PAT,
)

pytestmark = pytest.mark.anyio

CLOUD_USER = ("integration@example.com", DEFAULT_API_TOKEN)
OWN_USER = ("integration", DEFAULT_PASSWORD)
BACK = "https://product.example/integrations/oauth/callback"


def site_of(flavour: Flavour, count: int = 30, **user: str) -> JiraSite:
    return JiraSite.with_issues(count, seed=7, flavour=flavour, clock=ManualClock(), users=[User(**user)])


def client_of(site: JiraSite, auth: tuple[str, str] | None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Simulator(site, control=True).asgi)
    return httpx.AsyncClient(transport=transport, base_url="http://site", auth=auth)


@pytest.fixture
def cloud() -> JiraSite:
    return site_of("cloud")


@pytest.fixture
def datacenter() -> JiraSite:
    return site_of("datacenter")


@pytest.fixture
async def jira(cloud: JiraSite) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(cloud, CLOUD_USER) as client:
        yield client


@pytest.fixture
async def own(datacenter: JiraSite) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(datacenter, OWN_USER) as client:
        yield client


async def search(client: httpx.AsyncClient, jql: str, **more: Any) -> httpx.Response:
    return await client.post("/rest/api/3/search/jql", json={"jql": jql, **more})


async def keys(client: httpx.AsyncClient, jql: str) -> list[str]:
    answer = await search(client, jql, fields=["created"], maxResults=5000)
    assert answer.status_code == 200, answer.text
    return [issue["key"] for issue in answer.json()["issues"]]


# ---- searches


async def test_cloud_pages_by_tokens_and_tells_no_total(jira: httpx.AsyncClient, cloud: JiraSite) -> None:
    seen, token = [], None
    while True:
        more: dict[str, Any] = {"nextPageToken": token} if token else {}
        page = (await search(jira, "project = OPS", maxResults=3, fields=["summary"], **more)).json()
        seen += [issue["id"] for issue in page["issues"]]
        assert "total" not in page
        if page["isLast"]:
            break
        token = page["nextPageToken"]

    assert sorted(seen) == sorted(issue.id for issue in cloud.issues.values() if issue.project == "OPS")
    assert "nextPageToken" not in page


async def test_a_token_belongs_to_its_query_and_grows_old(jira: httpx.AsyncClient, cloud: JiraSite) -> None:
    token = (await search(jira, "created >= 0", maxResults=1)).json()["nextPageToken"]
    other = await search(jira, "updated >= 0", maxResults=1, nextPageToken=token)
    assert isinstance(cloud.clock, ManualClock)
    cloud.clock.advance(8 * 86_400)
    old = await search(jira, "created >= 0", maxResults=1, nextPageToken=token)

    assert (other.status_code, old.status_code) == (400, 400)


async def test_cloud_wants_a_condition_and_has_no_old_search(jira: httpx.AsyncClient) -> None:
    assert (await search(jira, "ORDER BY created")).status_code == 400
    assert (await jira.get("/rest/api/2/search?jql=project=OPS")).status_code == 410


async def test_only_bare_pages_are_long(cloud: JiraSite) -> None:
    for _ in range(120):
        cloud.create()
    async with client_of(cloud, CLOUD_USER) as client:
        bare = await search(client, "created >= 0", maxResults=5000, fields=["id", "created"])
        full = await search(client, "created >= 0", maxResults=5000, fields=["summary", "comment"])
        longer = await search(client, "created >= 0", maxResults=5001, fields=["id", "created"])
    assert (len(bare.json()["issues"]), len(full.json()["issues"])) == (150, 100)
    assert (longer.status_code, "between 1 and 5,000" in longer.text) == (400, True)


async def test_data_center_pages_by_position_up_to_its_window(own: httpx.AsyncClient, datacenter: JiraSite) -> None:
    datacenter.window = 20
    page = (await own.get("/rest/api/2/search?jql=&startAt=10&maxResults=5")).json()
    beyond = await own.get("/rest/api/2/search?jql=&startAt=18&maxResults=5")

    assert (page["startAt"], page["total"], len(page["issues"])) == (10, 30, 5)
    assert (beyond.status_code, beyond.json()["errorMessages"]) == (500, ["Search limit exceeded"])


@pytest.mark.parametrize(
    ("jql", "matches"),
    [
        ("project = ops", lambda i: i.project == "OPS"),
        ("project in (OPS, 'NET') AND NOT status = Open", lambda i: i.project in ("OPS", "NET") and i.status != "Open"),
        ("statusCategory = Done OR priority = Low", lambda i: i.resolution or i.priority == "Low"),
        ("resolution is EMPTY", lambda i: not i.resolution),
        ("(assignee is EMPTY AND labels != vpn) OR status = Open", lambda i: not i.assignee or i.status == "Open"),
        ("key = OPS-1", lambda i: i.key == "OPS-1"),
        ("updated >= 1700000000000", lambda i: True),
        ('summary ~ "vpn"', lambda i: "vpn" in i.summary.lower()),
    ],
)  # fmt: skip
async def test_jql_means_what_it_says(jira: httpx.AsyncClient, cloud: JiraSite, jql: str, matches: Any) -> None:
    assert sorted(await keys(jira, jql)) == sorted(issue.key for issue in cloud.issues.values() if matches(issue))


@pytest.mark.parametrize(
    ("jql", "words"),
    [
        ("nonsense = 1", "Field 'nonsense' does not exist"),
        ("project = NOWHERE", "does not exist for the field 'project'"),
        ("id = 999", "does not exist for field 'id'"),
        ("created >= tomorrow", "Date value 'tomorrow'"),
        ("project = OPS AND", "end of the query"),
        ("project = (OPS", "Expecting"),
    ],
)
async def test_what_jql_does_not_understand_is_an_error(jira: httpx.AsyncClient, jql: str, words: str) -> None:
    answer = await search(jira, jql)
    assert answer.status_code == 400
    assert words in answer.json()["errorMessages"][0]


async def test_quoted_dates_are_the_users_and_numbers_are_absolute() -> None:
    site = site_of("cloud", 0, time_zone="Asia/Kathmandu")
    assert isinstance(site.clock, ManualClock)
    issue = site.issues[site.create()]  # 09:00 UTC is 14:45 in Kathmandu
    async with client_of(site, CLOUD_USER) as client:
        found = [
            await keys(client, f"created >= {bound}")
            for bound in ('"2026-03-02 14:45"', '"2026-03-02 14:46"', str(issue.created), str(issue.created + 1))
        ]
    assert [len(each) for each in found] == [1, 0, 1, 0]


async def test_the_index_lags_behind_but_for_what_is_reconciled(jira: httpx.AsyncClient, cloud: JiraSite) -> None:
    assert isinstance(cloud.clock, ManualClock)
    cloud.index_lag = 60
    issue_id = cloud.create({"summary": "late"})

    at_once = await keys(jira, 'summary ~ "late"')
    named = (await search(jira, 'summary ~ "late"', reconcileIssues=[int(issue_id)])).json()["issues"]
    cloud.clock.advance(60)
    later = await keys(jira, 'summary ~ "late"')

    assert (at_once, len(named), len(later)) == ([], 1, 1)


# ---- issues


async def test_a_moved_issue_answers_to_its_id_and_both_keys(jira: httpx.AsyncClient, cloud: JiraSite) -> None:
    issue_id = cloud.create(project="OPS")
    before = cloud.issues[issue_id].key
    after = cloud.move(issue_id, "NET")
    found = [(await jira.get(f"/rest/api/3/issue/{name}?fields=project")).json() for name in (issue_id, before, after)]
    assert {(one["id"], one["key"]) for one in found} == {(issue_id, after)}


async def test_what_is_hidden_does_not_exist(jira: httpx.AsyncClient, cloud: JiraSite) -> None:
    issue_id = cloud.create(project="OPS")
    key = cloud.issues[issue_id].key
    cloud.hide([issue_id])
    single = await jira.get(f"/rest/api/3/issue/{issue_id}")
    cloud.hide_project("NET")
    project = await jira.get("/rest/api/3/project/NET")

    assert (single.status_code, project.status_code) == (404, 404)
    assert key not in await keys(jira, "created >= 0")


async def test_bodies_are_adf_on_cloud_and_wiki_markup_on_data_center(
    jira: httpx.AsyncClient, cloud: JiraSite, own: httpx.AsyncClient, datacenter: JiraSite
) -> None:
    text = {"description": "One\ntwo\n\n    code"}
    there = (await jira.get(f"/rest/api/3/issue/{cloud.create(text)}?fields=description")).json()
    here = (await own.get(f"/rest/api/2/issue/{datacenter.create(text)}?fields=description")).json()
    assert [node["type"] for node in there["fields"]["description"]["content"]] == ["paragraph", "codeBlock"]
    assert here["fields"]["description"] == "One\r\ntwo\r\n\r\n{noformat}\r\ncode\r\n{noformat}"


async def test_an_issue_carries_its_first_comments_and_pages_the_rest(jira: httpx.AsyncClient, cloud: JiraSite) -> None:
    issue_id = cloud.create()
    for number in range(30):
        cloud.comment(issue_id, f"Comment {number}")
    carried = (await jira.get(f"/rest/api/3/issue/{issue_id}?fields=comment")).json()["fields"]["comment"]
    rest = (await jira.get(f"/rest/api/3/issue/{issue_id}/comment?startAt=20&maxResults=100")).json()
    assert (len(carried["comments"]), carried["total"], len(rest["comments"])) == (20, 30, 10)


# ---- signing in


@pytest.mark.parametrize(
    ("flavour", "auth", "status"),
    [
        ("cloud", CLOUD_USER, 200),
        ("cloud", OWN_USER, 401),
        ("datacenter", OWN_USER, 200),
        ("datacenter", CLOUD_USER, 401),
        ("cloud", None, 401),
    ],
)
async def test_each_product_has_its_own_credentials(
    flavour: Flavour, auth: tuple[str, str] | None, status: int
) -> None:
    async with client_of(site_of(flavour), auth) as client:
        answer = await client.get("/rest/api/2/myself")
        server = await client.get("/rest/api/2/serverInfo")
    assert (answer.status_code, server.status_code) == (status, 200)
    reason = None if status == 200 else "AUTHENTICATED_FAILED" if auth else "OUT"
    assert answer.headers.get("x-seraph-loginreason") == reason


@pytest.mark.parametrize(("flavour", "status"), [("cloud", 403), ("datacenter", 200)])
async def test_a_personal_access_token_is_data_centers(flavour: Flavour, status: int) -> None:
    async with client_of(site_of(flavour), None) as client:
        answer = await client.get("/rest/api/2/myself", headers={"Authorization": f"Bearer {DEFAULT_PAT}"})
    assert answer.status_code == status


# ---- OAuth 2.0


async def code_from(client: httpx.AsyncClient, path: str, verifier: str = "") -> str:
    params = {
        "client_id": DEFAULT_CLIENT_ID,
        "response_type": "code",
        "redirect_uri": BACK,
        "state": "s",
        "scope": "read:jira-work offline_access",
    }
    if verifier:
        digest = hashlib.sha256(verifier.encode()).digest()
        params |= {"code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode()}
    sent = await client.get(path, params=params)
    assert sent.status_code == 302
    query = parse_qs(urlsplit(sent.headers["location"]).query)
    assert query["state"] == ["s"]
    return query["code"][0]


def grant(**form: str) -> dict[str, str]:
    return {"client_id": DEFAULT_CLIENT_ID, "client_secret": DEFAULT_CLIENT_SECRET, **form}


async def test_cloud_tokens_are_good_at_the_gateway_and_refresh_tokens_rotate(cloud: JiraSite) -> None:
    async with client_of(cloud, None) as client:
        code = await code_from(client, "/authorize", "v" * 50)
        form = grant(grant_type="authorization_code", code=code, redirect_uri=BACK, code_verifier="v" * 50)
        tokens = (await client.post("/oauth/token", json=form)).json()
        again = await client.post("/oauth/token", json=form)
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        sites = (await client.get("/oauth/token/accessible-resources", headers=bearer)).json()
        [here] = [one for one in sites if one["url"] == "http://site"]
        through = await client.get(f"/ex/jira/{here['id']}/rest/api/3/project/OPS", headers=bearer)
        direct = await client.get("/rest/api/3/project/OPS", headers=bearer)
        refresh = grant(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
        second = (await client.post("/oauth/token", data=refresh)).json()
        twice = await client.post("/oauth/token", data=refresh)

    assert (again.status_code, through.status_code, direct.status_code) == (403, 200, 403)
    assert second["refresh_token"] != tokens["refresh_token"]
    assert (twice.status_code, twice.json()["error"]) == (403, "invalid_grant")


async def test_a_wrong_verifier_or_address_is_refused(cloud: JiraSite) -> None:
    async with client_of(cloud, None) as client:
        for changed in ({"code_verifier": "w" * 50}, {"redirect_uri": "https://evil.example"}):
            code = await code_from(client, "/authorize", "v" * 50)
            form = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": "v" * 50}
            answer = await client.post("/oauth/token", data=grant(**form | changed))
            assert answer.json()["error"] == "invalid_grant"


async def test_data_center_hands_out_tokens_itself(datacenter: JiraSite) -> None:
    async with client_of(datacenter, None) as client:
        code = await code_from(client, "/rest/oauth2/latest/authorize")
        form = grant(grant_type="authorization_code", code=code, redirect_uri=BACK)
        tokens = (await client.post("/rest/oauth2/latest/token", data=form)).json()
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        before = await client.get("/rest/api/2/myself", headers=bearer)
        datacenter.door.expire_tokens()
        after = await client.get("/rest/api/2/myself", headers=bearer)
    assert (before.status_code, after.status_code) == (200, 401)


# ---- generating and changing


def test_the_same_seed_makes_the_same_site_and_the_same_changes() -> None:
    first, second = site_of("cloud", 80), site_of("cloud", 80)
    assert first.listing() == second.listing()
    assert evolve(first, 60, seed=5) == evolve(second, 60, seed=5)
    assert first.listing() == second.listing()
    assert first.listing() != site_of("cloud", 80).listing()


async def test_the_control_plane_changes_the_site(jira: httpx.AsyncClient, cloud: JiraSite) -> None:
    made = (await jira.post("/__simulator__/do/create", json={"values": {"summary": "From afar"}})).json()["result"]
    wrong = await jira.post("/__simulator__/do/update", json={"issue_id": made, "values": {"id": "1"}})
    state = (await jira.get("/__simulator__/state")).json()
    assert cloud.issues[made].summary == "From afar"
    assert wrong.status_code == 422
    assert state["tables"] == {"issue": 31}

"""How PostgreSQL carries out what is asked of it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations_api.db.engine import Sessions, raw_connection

TABLES = {"revisions", "contents", "documents"}


@contextmanager
def noted(sessions: Sessions) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent meanwhile, with their parameters."""
    engine: AsyncEngine = sessions.kw["bind"]
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        seen.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


async def plans(sessions: Sessions, statements: list[tuple[str, Any]]) -> tuple[set[str], set[str]]:
    """Names of the indexes that the statements use, and of our tables that they read from end to end."""
    indexes: set[str] = set()
    scanned: set[str] = set()
    async with sessions() as session:
        await session.execute(text("SELECT 1"))
        async with raw_connection(session) as driver:
            for statement, parameters in statements:
                if statement.startswith("SET"):
                    continue
                (answer,) = await driver.fetch(f"EXPLAIN (FORMAT JSON) {statement}", *parameters)
                for node in nodes(answer[0][0]["Plan"]):
                    indexes |= {node["Index Name"]} if "Index Name" in node else set()
                    scanned |= {node["Relation Name"]} if node["Node Type"] == "Seq Scan" else set()
    return indexes, scanned & TABLES


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


async def most_rows(sessions: Sessions, statements: list[tuple[str, Any]]) -> int:
    """The most rows that one step of a statement goes through, all its rounds together, kept and dropped ones."""
    async with sessions() as session:
        await session.execute(text("SELECT 1"))
        most = 0
        async with raw_connection(session) as driver:
            for statement, parameters in statements:
                (answer,) = await driver.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}", *parameters)
                for node in nodes(answer[0][0]["Plan"]):
                    dropped = node.get("Rows Removed by Join Filter", 0) + node.get("Rows Removed by Filter", 0)
                    most = max(most, (node["Actual Rows"] + dropped) * node["Actual Loops"])
        await session.rollback()
    return most


async def kept_plans_scan(sessions: Sessions, statements: Sequence[tuple[str, Any]]) -> set[str]:
    """Tables that the statements read from end to end by the plans that a connection keeps for any parameters."""
    scanned: set[str] = set()
    async with sessions() as session:
        await session.execute(text("SET LOCAL plan_cache_mode TO force_generic_plan"))
        async with raw_connection(session) as driver:
            for statement, parameters in statements:
                await driver.execute(f"PREPARE kept AS {statement}")
                values = ", ".join(["NULL"] * len(parameters))
                answer = await driver.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE kept{f'({values})' if values else ''}")
                await driver.execute("DEALLOCATE kept")
                scanned |= {n["Relation Name"] for n in nodes(answer[0]["Plan"]) if n["Node Type"] == "Seq Scan"}
    return scanned


async def who_passes_on(sessions: Sessions, statements: Sequence[tuple[str, Any]], what: tuple[str, ...]) -> set[str]:
    """The steps of the statements whose rows carry a column that is called so."""
    async with sessions() as session:
        await session.execute(text("SELECT 1"))
        async with raw_connection(session) as driver:
            found: set[str] = set()
            for statement, parameters in statements:
                (answer,) = await driver.fetch(f"EXPLAIN (VERBOSE, FORMAT JSON) {statement}", *parameters)
                for node in nodes(answer[0][0]["Plan"]):
                    if any(word in column for word in what for column in node.get("Output", ())):
                        found.add(node["Node Type"])
    return found

"""Find memories by their words: PostgreSQL's full-text search over the rows themselves, nothing beside the data base."""

from uuid import UUID

from django.db import connection, transaction

from gateway.memory import Question
from gateway.models.memory import LANGUAGE

MOST_CHARACTERS = 4000
"""Of a question; a request may have twenty thousand."""

# Any word of the question finds, but one word in common is chance: two are asked for, where there are two. Ranking reads
# every hit, so of a large namespace only the newest are ranked.
FIND = f"""
    WITH asked AS MATERIALIZED (
        SELECT lexeme, quote_literal(lexeme)::tsquery AS query
        FROM unnest(to_tsvector('{LANGUAGE}', %(text)s)) WHERE length(lexeme) > 1 LIMIT 40
    ), wanted AS MATERIALIZED (
        SELECT string_agg(quote_literal(lexeme), ' | ')::tsquery AS query, count(*) AS words FROM asked
    ), hits AS MATERIALIZED (
        SELECT id, search, created_at FROM gateway_memoryentry
        WHERE workspace_id = %(workspace)s AND namespace = %(namespace)s AND search @@ (SELECT query FROM wanted)
            AND (expires_at IS NULL OR expires_at > now())
        ORDER BY created_at DESC LIMIT 500
    ), ranked AS (
        SELECT id, created_at, ts_rank(search, wanted.query) AS rank, wanted.words,
            (SELECT count(*) FROM asked WHERE hits.search @@ asked.query) AS shared
        FROM hits, wanted
    )
    SELECT id FROM ranked WHERE shared >= least(2, words) ORDER BY shared DESC, rank DESC, created_at DESC LIMIT %(most)s
"""  # noqa: S608 - a constant


def find_by_words(question: Question) -> list[UUID]:
    """Return the ids of entries that share words with the question, best first; apart from a transaction that may surround it."""
    about: dict[str, str | UUID | int] = {
        "text": question.text[:MOST_CHARACTERS].replace("\x00", ""),
        "workspace": question.workspace_id,
        "namespace": question.namespace,
        "most": question.most,
    }
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(FIND, about)
        return [pk for (pk,) in cursor.fetchall()]

-- The same four metrics on SQLite, for a try with `make dev`: sqlite3 FILE < metrics.sqlite.sql. Durations are in seconds.

-- 1. Deployment frequency: the successful deployments of each week, which begins on Monday.
SELECT project, date(finished_at, 'weekday 0', '-6 days') AS week, count(*) AS deployments
FROM deployments
WHERE succeeded
GROUP BY project, week
ORDER BY project, week;

-- 2. Lead time for changes: the median time from a commit to the first successful deployment that contains it.
WITH deployed AS (
    SELECT change.project, change.committed_at, min(deployment.finished_at) AS deployed_at
    FROM changes AS change
    JOIN changes AS tip USING (source, project)
    JOIN deployments AS deployment USING (source, project)
    WHERE deployment.sha = tip.sha AND deployment.succeeded AND tip.pushed_at >= change.pushed_at
    GROUP BY change.source, change.project, change.sha, change.committed_at
),
lasting AS (
    SELECT project, (julianday(deployed_at) - julianday(committed_at)) * 86400 AS seconds FROM deployed
),
ranked AS (
    SELECT
        project,
        seconds,
        row_number() OVER (PARTITION BY project ORDER BY seconds) AS place,
        count(*) OVER (PARTITION BY project) AS changes
    FROM lasting
)
SELECT project, changes, round(avg(seconds)) AS median_lead_seconds
FROM ranked
WHERE place IN ((changes + 1) / 2, changes / 2 + 1)
GROUP BY project, changes
ORDER BY project;

-- 3. Change failure rate: the share of successful deployments after which an incident was opened before the next one.
WITH spans AS (
    SELECT
        source,
        project,
        finished_at,
        lead(finished_at, 1, '9999-12-31') OVER (PARTITION BY source, project ORDER BY finished_at) AS next_at
    FROM deployments
    WHERE succeeded
),
judged AS (
    SELECT
        project,
        EXISTS (
            SELECT 1 FROM incidents
            WHERE incidents.source = spans.source AND incidents.project = spans.project
                AND incidents.opened_at >= spans.finished_at AND incidents.opened_at < spans.next_at
        ) AS has_failed
    FROM spans
)
SELECT
    project,
    count(*) AS deployments,
    sum(has_failed) AS failed,
    round(100.0 * sum(has_failed) / count(*), 1) AS failed_percent
FROM judged
GROUP BY project
ORDER BY project;

-- 4. Time to restore: the median time from the opening of an incident to its end.
WITH lasting AS (
    SELECT project, (julianday(closed_at) - julianday(opened_at)) * 86400 AS seconds
    FROM incidents
    WHERE closed_at IS NOT NULL
),
ranked AS (
    SELECT
        project,
        seconds,
        row_number() OVER (PARTITION BY project ORDER BY seconds) AS place,
        count(*) OVER (PARTITION BY project) AS incidents
    FROM lasting
)
SELECT project, incidents, round(avg(seconds)) AS median_seconds_to_restore
FROM ranked
WHERE place IN ((incidents + 1) / 2, incidents / 2 + 1)
GROUP BY project, incidents
ORDER BY project;

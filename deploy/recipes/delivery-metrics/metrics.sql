-- The four delivery metrics of each project, from the tables that hookchain.yaml fills. For PostgreSQL: psql -f metrics.sql. See also metrics.sqlite.sql

-- 1. Deployment frequency: the successful deployments of each week.
SELECT project, date_trunc('week', finished_at) AS week, count(*) AS deployments
FROM deployments
WHERE succeeded
GROUP BY project, week
ORDER BY project, week;

-- 2. Lead time for changes: the median time from a commit to the first successful deployment that contains it. A
-- deployment of a commit contains all that were pushed before it.
WITH deployed AS (
    SELECT change.project, change.sha, change.committed_at, min(deployment.finished_at) AS deployed_at
    FROM changes AS change
    JOIN changes AS tip USING (source, project)
    JOIN deployments AS deployment USING (source, project)
    WHERE deployment.sha = tip.sha AND deployment.succeeded AND tip.pushed_at >= change.pushed_at
    GROUP BY change.source, change.project, change.sha, change.committed_at
)
SELECT
    project,
    count(*) AS changes,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY deployed_at - committed_at) AS median_lead_time
FROM deployed
GROUP BY project
ORDER BY project;

-- 3. Change failure rate: the share of successful deployments after which an incident was opened before the next one.
WITH spans AS (
    SELECT
        source,
        project,
        finished_at,
        lead(finished_at, 1, 'infinity') OVER (PARTITION BY source, project ORDER BY finished_at) AS next_at
    FROM deployments
    WHERE succeeded
)
SELECT
    project,
    count(*) AS deployments,
    count(*) FILTER (WHERE has_failed) AS failed,
    round(100.0 * count(*) FILTER (WHERE has_failed) / count(*), 1) AS failed_percent
FROM (
    SELECT
        project,
        EXISTS (
            SELECT FROM incidents
            WHERE incidents.source = spans.source AND incidents.project = spans.project
                AND incidents.opened_at >= spans.finished_at AND incidents.opened_at < spans.next_at
        ) AS has_failed
    FROM spans
) AS judged
GROUP BY project
ORDER BY project;

-- 4. Time to restore: the median time from the opening of an incident to its end.
SELECT
    project,
    count(*) AS incidents,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY closed_at - opened_at) AS median_time_to_restore
FROM incidents
WHERE closed_at IS NOT NULL
GROUP BY project
ORDER BY project;

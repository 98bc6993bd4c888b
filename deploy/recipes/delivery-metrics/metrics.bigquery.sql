-- The four delivery metrics of each project, for BigQuery: bq query --use_legacy_sql=false < metrics.bigquery.sql
--
-- In hookchain.yaml, write each of the three destinations as this one, with its own `table` and `columns`. A row is added
-- for each event, so the queries take the newest row of each deployment and incident, and count a repeated row once.
--
--   deployments:
--     bigquery: {project: my-project, dataset: metrics, table: deployments, columns: {…}, create: true}

CREATE TEMP TABLE newest_changes AS
SELECT * FROM metrics.changes WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY source, project, sha ORDER BY pushed_at) = 1;

CREATE TEMP TABLE newest_deployments AS
SELECT * FROM metrics.deployments WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY source, project, id ORDER BY finished_at DESC) = 1;

CREATE TEMP TABLE newest_incidents AS
SELECT * FROM metrics.incidents WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY source, project, number ORDER BY changed_at DESC) = 1;

-- 1. Deployment frequency: the successful deployments of each week.
SELECT project, TIMESTAMP_TRUNC(finished_at, ISOWEEK) AS week, COUNT(*) AS deployments
FROM newest_deployments
WHERE succeeded
GROUP BY project, week
ORDER BY project, week;

-- 2. Lead time for changes: the median time from a commit to the first successful deployment that contains it. A
-- deployment of a commit contains all that were pushed before it.
WITH deployed AS (
    SELECT change.project, change.sha, change.committed_at, MIN(deployment.finished_at) AS deployed_at
    FROM newest_changes AS change
    JOIN newest_changes AS tip ON tip.source = change.source AND tip.project = change.project
    JOIN newest_deployments AS deployment
        ON deployment.source = tip.source AND deployment.project = tip.project AND deployment.sha = tip.sha
    WHERE deployment.succeeded AND tip.pushed_at >= change.pushed_at
    GROUP BY change.source, change.project, change.sha, change.committed_at
),
timed AS (
    SELECT project, TIMESTAMP_DIFF(deployed_at, committed_at, SECOND) / 3600 AS hours FROM deployed
)
SELECT DISTINCT
    project,
    COUNT(*) OVER (PARTITION BY project) AS changes,
    PERCENTILE_CONT(hours, 0.5) OVER (PARTITION BY project) AS median_lead_hours
FROM timed
ORDER BY project;

-- 3. Change failure rate: the share of successful deployments after which an incident was opened before the next one.
WITH spans AS (
    SELECT
        source,
        project,
        id,
        finished_at,
        LEAD(finished_at) OVER (PARTITION BY source, project ORDER BY finished_at) AS next_at
    FROM newest_deployments
    WHERE succeeded
),
failed AS (
    SELECT DISTINCT spans.source, spans.project, spans.id
    FROM spans
    JOIN newest_incidents AS incident ON incident.source = spans.source AND incident.project = spans.project
    WHERE incident.opened_at >= spans.finished_at AND (spans.next_at IS NULL OR incident.opened_at < spans.next_at)
)
SELECT
    spans.project,
    COUNT(*) AS deployments,
    COUNTIF(failed.id IS NOT NULL) AS failed,
    ROUND(100 * COUNTIF(failed.id IS NOT NULL) / COUNT(*), 1) AS failed_percent
FROM spans
LEFT JOIN failed ON failed.source = spans.source AND failed.project = spans.project AND failed.id = spans.id
GROUP BY spans.project
ORDER BY spans.project;

-- 4. Time to restore: the median time from the opening of an incident to its end.
WITH closed AS (
    SELECT project, TIMESTAMP_DIFF(closed_at, opened_at, SECOND) / 3600 AS hours
    FROM newest_incidents
    WHERE closed_at IS NOT NULL
)
SELECT DISTINCT
    project,
    COUNT(*) OVER (PARTITION BY project) AS incidents,
    PERCENTILE_CONT(hours, 0.5) OVER (PARTITION BY project) AS median_hours_to_restore
FROM closed
ORDER BY project;

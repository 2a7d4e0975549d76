#!/usr/bin/env bash
# First start of PostgreSQL: one database and one owner for each program; nobody else may connect.
# UTF-8 whatever the cluster's default is: Airflow stores people's words. airlock_app is the role of workers and serving: it
# cannot alter tables or the ledger's past. airlock_guard is the API server's, which may also append what it signs.
set -euo pipefail

psql --set=ON_ERROR_STOP=1 --username postgres <<'SQL'
\getenv airflow AIRFLOW_PASSWORD
\getenv mlflow MLFLOW_PASSWORD
\getenv owner OWNER_PASSWORD
\getenv app APP_PASSWORD
\getenv guard GUARD_PASSWORD
\getenv label_studio LABEL_STUDIO_DATABASE_PASSWORD
CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE airlock_owner LOGIN PASSWORD :'owner';
CREATE ROLE airlock_app LOGIN PASSWORD :'app';
CREATE ROLE airlock_guard LOGIN PASSWORD :'guard';
CREATE ROLE label_studio LOGIN PASSWORD :'label_studio';
CREATE DATABASE airflow OWNER airflow TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE mlflow OWNER mlflow TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE airlock OWNER airlock_owner TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE label_studio OWNER label_studio TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE airflow, mlflow, airlock, label_studio FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE airlock TO airlock_app, airlock_guard;
SQL

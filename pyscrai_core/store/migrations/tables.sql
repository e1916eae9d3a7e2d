-- What all migrations together make of an empty file: a new store is made with these statements at once.
-- `pytest tests/store/test_migrations.py` says what differs once there is another migration.
CREATE TABLE "calls" ("run" VARCHAR(255) NOT NULL, "number" INTEGER NOT NULL, "agent" VARCHAR(255) NOT NULL, "step" INTEGER NOT NULL, "path" VARCHAR(255) NOT NULL, "kind" VARCHAR(255) NOT NULL, "target" VARCHAR(255) NOT NULL, "request" VARCHAR(255) NOT NULL, "base" INTEGER, "kept" INTEGER NOT NULL, "messages" TEXT NOT NULL, "frame" VARCHAR(255) NOT NULL, "seed" INTEGER NOT NULL, "status" VARCHAR(255) NOT NULL, "answer" TEXT NOT NULL, "error" VARCHAR(255) NOT NULL, "detail" TEXT NOT NULL, "model" TEXT NOT NULL, "input_tokens" INTEGER NOT NULL, "output_tokens" INTEGER NOT NULL, "cached_tokens" INTEGER NOT NULL, "cache_write_tokens" INTEGER NOT NULL, "started" REAL NOT NULL, "seconds" REAL NOT NULL, "provider" TEXT NOT NULL, "cost" REAL, "queued" REAL NOT NULL, "attempts" TEXT NOT NULL, "reused" VARCHAR(255) NOT NULL, "key" VARCHAR(255) NOT NULL, "estimated" INTEGER NOT NULL, "finish_reason" VARCHAR(255) NOT NULL, "checksum" VARCHAR(255) NOT NULL, PRIMARY KEY ("run", "number"));
CREATE INDEX "calls_key" ON "calls" ("key");
CREATE UNIQUE INDEX "calls_run_agent_step_path" ON "calls" ("run", "agent", "step", "path");
CREATE TABLE "claims" ("key" VARCHAR(255) NOT NULL PRIMARY KEY, "run" VARCHAR(255) NOT NULL);
CREATE TABLE "events" ("run" VARCHAR(255) NOT NULL, "seq" INTEGER NOT NULL, "step" INTEGER NOT NULL, "kind" VARCHAR(255) NOT NULL, "source" VARCHAR(255) NOT NULL, "audience" TEXT NOT NULL, "payload" TEXT NOT NULL, "cause" INTEGER, PRIMARY KEY ("run", "seq")) WITHOUT ROWID;
CREATE TABLE "imports" ("run" VARCHAR(255) NOT NULL PRIMARY KEY);
CREATE TABLE "inputs" ("id" INTEGER NOT NULL PRIMARY KEY, "run" VARCHAR(255) NOT NULL, "kind" VARCHAR(255) NOT NULL, "body" TEXT NOT NULL, "author" TEXT NOT NULL, "created" REAL NOT NULL);
CREATE INDEX "inputs_run" ON "inputs" ("run");
CREATE TABLE "manifests" ("run" VARCHAR(255) NOT NULL PRIMARY KEY, "body" TEXT NOT NULL, "checksum" VARCHAR(255) NOT NULL);
CREATE TABLE "messages" ("digest" VARCHAR(255) NOT NULL PRIMARY KEY, "body" BLOB NOT NULL);
CREATE TABLE "outcomes" ("run" VARCHAR(255) NOT NULL, "name" VARCHAR(255) NOT NULL, "value" TEXT NOT NULL, "checksum" VARCHAR(255) NOT NULL, "kind" VARCHAR(255) NOT NULL, PRIMARY KEY ("run", "name"));
CREATE TABLE "runs" ("id" VARCHAR(255) NOT NULL PRIMARY KEY, "scenario" TEXT NOT NULL, "seed" INTEGER NOT NULL, "status" VARCHAR(255) NOT NULL, "error" TEXT NOT NULL, "created" REAL NOT NULL, "ended" REAL, "steps" INTEGER NOT NULL, "fingerprint" VARCHAR(255) NOT NULL, "owner" TEXT NOT NULL, "parent" VARCHAR(255) NOT NULL, "labels" TEXT NOT NULL);
CREATE TABLE "schema_migration" ("id" INTEGER NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL, "applied" DATETIME NOT NULL);
CREATE UNIQUE INDEX "schema_migration_name" ON "schema_migration" ("name");

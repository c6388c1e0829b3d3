//! The tables, and how an older database becomes a current one.
//!
//! Times are microseconds since 1970 (UTC), days are days since 1970-01-01, channels are Reporting's `mediaTypeId`.
//! Knows no path and no connection pool.

use rusqlite::Connection;

/// "CXFS": tells our databases from others'.
pub(super) const APPLICATION_ID: i64 = 0x4358_4653;

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing in it yet.
    Empty,
    /// Ours, with this schema.
    Ours(i64),
    /// Another program's.
    Foreign,
}

/// The schema that this version writes.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Step n leads from schema n to schema n + 1. A published step is never edited.
const MIGRATIONS: &[&str] =
    &[V1, UNREADABLE_CONTACTS, HIGHEST, OBSTACLES, AUDIT_CHAIN, CONTROLS, CHECKSUMS, SEALS, NO_ROWIDS];

/// How many of a day's contacts cannot be shown.
const UNREADABLE_CONTACTS: &str = "ALTER TABLE days ADD COLUMN unreadable INTEGER NOT NULL DEFAULT 0;";

const V1: &str = "
CREATE TABLE facts(
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE days(
    day INTEGER PRIMARY KEY,
    indexed_at INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    last_poll INTEGER
);
CREATE INDEX days_open ON days(day) WHERE closed = 0;

CREATE TABLE agents(
    day INTEGER NOT NULL,
    agent_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    ino INTEGER NOT NULL UNIQUE,
    mtime INTEGER NOT NULL,
    PRIMARY KEY(day, agent_id),
    UNIQUE(day, name)
) WITHOUT ROWID;

-- Which channels an agent's folder has, so that listing a day looks into no folder.
CREATE TABLE agent_channels(
    day INTEGER NOT NULL,
    agent_id INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    PRIMARY KEY(day, agent_id, channel)
) WITHOUT ROWID;

-- Clustered by what a listing reads: one agent's folders of one day, in order of name.
CREATE TABLE folders(
    day INTEGER NOT NULL,
    agent_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    master_id INTEGER NOT NULL,
    channel INTEGER NOT NULL,
    ino INTEGER NOT NULL UNIQUE,
    contact_mtime INTEGER NOT NULL,
    contact_size INTEGER NOT NULL,
    PRIMARY KEY(day, agent_id, name),
    UNIQUE(master_id, day, agent_id)
) WITHOUT ROWID;

CREATE TABLE shapes(
    id INTEGER PRIMARY KEY,
    keys TEXT NOT NULL UNIQUE
);

CREATE TABLE legs(
    id INTEGER PRIMARY KEY,
    day INTEGER NOT NULL,
    agent_id INTEGER NOT NULL,
    master_id INTEGER NOT NULL,
    contact_id INTEGER NOT NULL,
    start INTEGER NOT NULL,
    last_update INTEGER,
    shape INTEGER NOT NULL REFERENCES shapes(id),
    record TEXT NOT NULL,
    json_size INTEGER NOT NULL,
    UNIQUE(day, agent_id, master_id, contact_id)
);

-- What was published and paid for: outlives the index above it.
CREATE TABLE interactions(
    master_id INTEGER PRIMARY KEY,
    ino_base INTEGER NOT NULL UNIQUE,
    channel INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    first_start INTEGER NOT NULL,
    last_end INTEGER NOT NULL,
    places INTEGER NOT NULL,
    resolved_at INTEGER,
    recheck_at INTEGER
);

CREATE TABLE files(
    master_id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    size INTEGER,
    validator TEXT NOT NULL,
    PRIMARY KEY(master_id, kind)
) WITHOUT ROWID;

CREATE TABLE documents(
    id INTEGER PRIMARY KEY,
    master_id INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE(master_id, kind)
);

-- Running sums of bytes per second of recordings, by channel.
CREATE TABLE rates(
    channel INTEGER PRIMARY KEY,
    samples INTEGER NOT NULL,
    sum REAL NOT NULL,
    sum_of_squares REAL NOT NULL
);

CREATE TABLE ledger(
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    master_id INTEGER NOT NULL,
    reason TEXT NOT NULL,
    uid INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    comm TEXT NOT NULL,
    outcome TEXT
);
CREATE INDEX ledger_at ON ledger(at);

-- statfs answers from here; kept by triggers, so that no statement can forget it.
CREATE TABLE totals(
    id INTEGER PRIMARY KEY CHECK(id = 1),
    interactions INTEGER NOT NULL,
    bytes INTEGER NOT NULL
);
INSERT INTO totals VALUES(1, 0, 0);
CREATE TRIGGER interactions_added AFTER INSERT ON interactions BEGIN
    UPDATE totals SET interactions = interactions + 1;
END;
CREATE TRIGGER interactions_removed AFTER DELETE ON interactions BEGIN
    UPDATE totals SET interactions = interactions - 1;
END;
CREATE TRIGGER files_added AFTER INSERT ON files WHEN new.size > 0 BEGIN
    UPDATE totals SET bytes = bytes + new.size;
END;
CREATE TRIGGER files_removed AFTER DELETE ON files WHEN old.size > 0 BEGIN
    UPDATE totals SET bytes = bytes - old.size;
END;
CREATE TRIGGER files_resized AFTER UPDATE OF size ON files WHEN new.size IS NOT old.size BEGIN
    UPDATE totals SET bytes = bytes - coalesce(old.size, 0) + coalesce(new.size, 0);
END;
";

/// The highest that was seen, by channel and kind of file (all recordings are kind 16): bytes per second of recordings, counted over at least
/// 30 s, and bytes of documents. Sizes that are not known yet are estimated by it.
const HIGHEST: &str = "
CREATE TABLE highest(
    channel INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    value REAL NOT NULL,
    PRIMARY KEY(channel, kind)
) WITHOUT ROWID;
INSERT INTO highest
    SELECT i.channel, f.kind, max(f.size) FROM files f JOIN interactions i USING(master_id)
    WHERE f.kind < 16 AND f.size > 0 GROUP BY i.channel, f.kind;
INSERT INTO highest
    SELECT i.channel, 16, max(f.size / max((i.last_end - i.first_start) / 1e6, 30.0)) FROM files f JOIN interactions i USING(master_id)
    WHERE f.kind >= 16 AND f.size > 0 GROUP BY i.channel;
";

/// What sources refused: asked for again only when its time has come. `subject` is 0 for the interaction, else the kind of one of its files.
const OBSTACLES: &str = "
CREATE TABLE obstacles(
    id INTEGER PRIMARY KEY,
    master_id INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    kind TEXT NOT NULL,
    reason TEXT NOT NULL,
    said_at INTEGER NOT NULL,
    again_at INTEGER NOT NULL,
    times INTEGER NOT NULL,
    scope INTEGER NOT NULL,
    UNIQUE(master_id, subject)
);
";

/// Where the chain of the audit log begins and ends.
const AUDIT_CHAIN: &str = "
CREATE TABLE audit_chain(
    id INTEGER PRIMARY KEY CHECK(id = 1),
    start_number INTEGER NOT NULL,
    start_hash BLOB NOT NULL,
    head_number INTEGER NOT NULL,
    head_hash BLOB NOT NULL
);
";

/// What an auditor asks for: marks of erased contacts and the key that they are made with, interactions that are held, and hashes of
/// recordings that were here as a whole.
const CONTROLS: &str = "
CREATE TABLE erasure_keys(
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL
);
CREATE TABLE erased(
    mark BLOB PRIMARY KEY,
    at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE holds(
    master_id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    uid INTEGER NOT NULL
);
CREATE TABLE evidence(
    id INTEGER PRIMARY KEY,
    master_id INTEGER NOT NULL,
    recording INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    size INTEGER NOT NULL,
    validator TEXT NOT NULL,
    host TEXT NOT NULL,
    at INTEGER NOT NULL,
    UNIQUE(master_id, recording, size, validator, sha256)
);
";

/// The keyed checksum of each row that decides something; NULL where nothing is encrypted. See `rows`.
const CHECKSUMS: &str = "
ALTER TABLE facts ADD COLUMN mac BLOB;
ALTER TABLE days ADD COLUMN mac BLOB;
ALTER TABLE agents ADD COLUMN mac BLOB;
ALTER TABLE agent_channels ADD COLUMN mac BLOB;
ALTER TABLE folders ADD COLUMN mac BLOB;
ALTER TABLE shapes ADD COLUMN mac BLOB;
ALTER TABLE legs ADD COLUMN mac BLOB;
ALTER TABLE interactions ADD COLUMN mac BLOB;
ALTER TABLE files ADD COLUMN mac BLOB;
ALTER TABLE obstacles ADD COLUMN mac BLOB;
ALTER TABLE ledger ADD COLUMN mac BLOB;
ALTER TABLE highest ADD COLUMN mac BLOB;
";

/// The same for what an auditor asks for, and seals over tables of which a missing row does harm. See `rows`.
const SEALS: &str = "
ALTER TABLE holds ADD COLUMN mac BLOB;
ALTER TABLE erased ADD COLUMN mac BLOB;
ALTER TABLE erasure_keys ADD COLUMN mac BLOB;
ALTER TABLE audit_chain ADD COLUMN mac BLOB;
ALTER TABLE evidence ADD COLUMN mac BLOB;
CREATE TABLE seals(
    name TEXT PRIMARY KEY,
    mac BLOB NOT NULL
) WITHOUT ROWID;
";

/// Where a master contact's id is the row's number, SQLite keeps it as the border between two pages after the row was deleted: an erased id
/// stayed in the file. Ordered by a key of their own, tables have rows for borders.
const NO_ROWIDS: &str = "
ALTER TABLE interactions RENAME TO interactions_before;
CREATE TABLE interactions(
    master_id INTEGER PRIMARY KEY,
    ino_base INTEGER NOT NULL UNIQUE,
    channel INTEGER NOT NULL,
    mtime INTEGER NOT NULL,
    first_start INTEGER NOT NULL,
    last_end INTEGER NOT NULL,
    places INTEGER NOT NULL,
    resolved_at INTEGER,
    recheck_at INTEGER,
    mac BLOB
) WITHOUT ROWID;
INSERT INTO interactions SELECT master_id, ino_base, channel, mtime, first_start, last_end, places, resolved_at, recheck_at, mac
    FROM interactions_before ORDER BY master_id;
DROP TABLE interactions_before;
CREATE TRIGGER interactions_added AFTER INSERT ON interactions BEGIN
    UPDATE totals SET interactions = interactions + 1;
END;
CREATE TRIGGER interactions_removed AFTER DELETE ON interactions BEGIN
    UPDATE totals SET interactions = interactions - 1;
END;
ALTER TABLE holds RENAME TO holds_before;
CREATE TABLE holds(
    master_id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    uid INTEGER NOT NULL,
    mac BLOB
) WITHOUT ROWID;
INSERT INTO holds SELECT master_id, reason, at, uid, mac FROM holds_before ORDER BY master_id;
DROP TABLE holds_before;
";

/// Tables that hold what was paid for, learned or published, in the order in which they can be copied into another database.
pub(super) const WORTH_SALVAGING: [&str; 13] = [
    "erasure_keys",
    "erased",
    "holds",
    "ledger",
    "facts",
    "interactions",
    "files",
    "documents",
    "rates",
    "highest",
    "obstacles",
    "evidence",
    "audit_chain",
];

/// Reads whose database it is. Fails where the file is no database.
pub(super) fn identify(connection: &Connection) -> rusqlite::Result<Found> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(match (application, version, objects) {
        (APPLICATION_ID, version, 1..) if version > 0 => Found::Ours(version),
        (0, 0, 0) => Found::Empty,
        _ => Found::Foreign,
    })
}

/// Brings the schema from `version` to [`VERSION`], each step in a transaction with its number.
pub(super) fn migrate(connection: &mut Connection, version: i64) -> rusqlite::Result<()> {
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(usize::try_from(version).unwrap_or(usize::MAX)) {
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", step as i64 + 1)?;
        transaction.commit()?;
    }
    Ok(())
}

/// What a database has by name: tables, indexes, triggers, views. Two that were made by the same steps have the same.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<[Option<String>; 4]>> {
    let mut statement =
        connection.prepare("SELECT type, name, tbl_name, sql FROM main.sqlite_schema ORDER BY type, name, tbl_name")?;
    let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]))?;
    rows.collect()
}

/// Whether nothing was added to a current database: a trigger of somebody else's would change rows in our name.
pub(super) fn is_as_made(connection: &Connection) -> rusqlite::Result<bool> {
    let mut made = Connection::open_in_memory()?;
    migrate(&mut made, 0)?;
    Ok(objects(connection)? == objects(&made)?)
}

/// A database as a version before made it, for tests of what became of it since.
#[cfg(test)]
pub(super) fn at_version(connection: &Connection, version: i64) {
    MIGRATIONS.iter().take(version as usize).for_each(|step| connection.execute_batch(step).unwrap());
    connection.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", version).unwrap();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_database_becomes_current_and_ours() {
        let mut connection = Connection::open_in_memory().unwrap();
        assert_eq!(identify(&connection).unwrap(), Found::Empty);
        migrate(&mut connection, 0).unwrap();
        assert_eq!(identify(&connection).unwrap(), Found::Ours(VERSION));
        migrate(&mut connection, VERSION).unwrap();
        assert_eq!(identify(&connection).unwrap(), Found::Ours(VERSION));
    }

    #[test]
    fn every_step_keeps_what_is_there() {
        let mut connection = Connection::open_in_memory().unwrap();
        at_version(&connection, 1);
        connection.execute_batch("INSERT INTO days VALUES(20000, 1, 1, 0, NULL)").unwrap();
        migrate(&mut connection, 1).unwrap();
        assert_eq!(identify(&connection).unwrap(), Found::Ours(VERSION));
        let unreadable: i64 = connection.query_row("SELECT unreadable FROM days", [], |row| row.get(0)).unwrap();
        assert_eq!(unreadable, 0);
    }

    #[test]
    fn another_programs_database_is_foreign() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE x(y)").unwrap();
        assert_eq!(identify(&connection).unwrap(), Found::Foreign);
        let connection = Connection::open_in_memory().unwrap();
        connection.pragma_update(None, "application_id", 7).unwrap();
        assert_eq!(identify(&connection).unwrap(), Found::Foreign);
    }
}

//! The one definition of every key of the configuration: section, name, kind, default, flag, documentation.
//!
//! Parsing, suggestions for unknown keys, environment variables and `docs/CONFIGURATION.md` come from this table.
//! It knows no files and no values.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use url::Url;

use super::kinds::{self, Account, Kind};
use super::units::UnitError;
use super::value::Value;
use crate::base::{Channels, Export, ResolveOn, Since};
use crate::net::HostPattern;

/// What holds where nobody says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This text, read as the environment's would be.
    Is(&'static str),
    /// What these words describe; the resolver knows how.
    Described(&'static str),
    /// There is none: the key must be set.
    Required,
}

/// Whether and where a key may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Settable,
    /// A secret: environment only, never in the file and never on the command line.
    Secret {
        /// The key of a file that holds it instead.
        file_key: &'static str,
    },
}

/// What is known of a key besides its type.
#[derive(Debug)]
pub struct Info {
    pub section: &'static str,
    pub name: &'static str,
    pub default_value: DefaultValue,
    pub standing: Standing,
    /// The flag of `cxonefs mount` that sets it.
    pub flag: Option<&'static str>,
    /// One line of documentation.
    pub doc: &'static str,
}

impl Info {
    /// `section.name`.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment variables that set it, the shortest first.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let name = self.name.to_ascii_uppercase();
        let full = format!("CXONEFS_{}_{name}", self.section.to_ascii_uppercase());
        if self.section == "tenant" { vec![format!("CXONEFS_{name}"), full] } else { vec![full] }
    }
}

/// A key whose values are read as `T`.
#[derive(Debug)]
pub struct Key<T: 'static> {
    pub info: Info,
    pub kind: &'static Kind<T>,
}

/// A key of any type.
pub trait AnyKey: Sync {
    fn info(&self) -> &Info;
    /// The kind's word for the documentation.
    fn word(&self) -> &'static str;
    /// What a value should be.
    fn expected(&self) -> &'static str;
    /// Whether the value can be read.
    fn check(&self, value: &Value) -> Result<(), UnitError>;
}

impl<T> AnyKey for Key<T> {
    fn info(&self) -> &Info {
        &self.info
    }

    fn word(&self) -> &'static str {
        self.kind.word
    }

    fn expected(&self) -> &'static str {
        self.kind.expected
    }

    fn check(&self, value: &Value) -> Result<(), UnitError> {
        (self.kind.read)(value).map(|_| ())
    }
}

/// Declares keys and [`ALL`], so that a key cannot exist outside the table.
macro_rules! keys {
    ($(
        $ident:ident: $type:ty = $section:literal . $name:literal, $kind:ident, $default_value:expr
        $(, standing $standing:expr)? $(, flag $flag:literal)? ;
        $doc:literal
    )*) => {
        $(
            #[doc = $doc]
            pub static $ident: Key<$type> = Key {
                info: Info {
                    section: $section,
                    name: $name,
                    default_value: $default_value,
                    standing: keys!(@standing $($standing)?),
                    flag: keys!(@flag $($flag)?),
                    doc: $doc,
                },
                kind: &kinds::$kind,
            };
        )*

        /// Every key, in the order of the documentation.
        pub static ALL: &[&dyn AnyKey] = &[$(&$ident),*];
    };
    (@standing) => { Standing::Settable };
    (@standing $standing:expr) => { $standing };
    (@flag) => { None };
    (@flag $flag:literal) => { Some($flag) };
}

use DefaultValue::{Described, Is, Required};

keys! {
    ISSUER: Url = "tenant"."issuer", URL, Is("https://cxone.niceincontact.com");
    "Where login and discovery begin. Sovereign and government tenants have issuers of their own."
    ACCESS_KEY_ID: String = "tenant"."access_key_id", TEXT, Required;
    "The id of the access key."
    ACCESS_KEY_SECRET_FILE: PathBuf = "tenant"."access_key_secret_file", PATH,
        Described("`access_key_secret` in systemd's `$CREDENTIALS_DIRECTORY`");
    "A file with the access key's secret. Refused if its group or others can read it, or if it belongs to someone other than you or root."
    ACCESS_KEY_SECRET: String = "tenant"."access_key_secret", TEXT, Described("none"),
        standing Standing::Secret { file_key: "access_key_secret_file" };
    "The access key's secret itself. Environment only; refused in the file and on the command line."
    CLIENT_ID: String = "tenant"."client_id", TEXT, Described("none: the access-key login is used");
    "The id of a registered OpenID client. With it, the OIDC password grant is used."
    CLIENT_SECRET_FILE: PathBuf = "tenant"."client_secret_file", PATH,
        Described("`client_secret` in systemd's `$CREDENTIALS_DIRECTORY`");
    "A file with the client's secret, under the same rules as `access_key_secret_file`."
    CLIENT_SECRET: String = "tenant"."client_secret", TEXT, Described("none"),
        standing Standing::Secret { file_key: "client_secret_file" };
    "The client's secret itself. Environment only; refused in the file and on the command line."
    AREA: String = "tenant"."area", AREA, Described("as discovered");
    "The tenant's area, for instance `na1`; overrides discovery."
    AUTH_ENDPOINT: Url = "tenant"."auth_endpoint", URL, Described("as discovered");
    "Base of the login; overrides discovery."
    API_ENDPOINT: Url = "tenant"."api_endpoint", URL, Described("as discovered");
    "Base of the Reporting API; overrides discovery."
    PLAYBACK_ENDPOINT: Url = "tenant"."playback_endpoint", URL, Described("as discovered");
    "Base of the Media Playback API; overrides discovery."
    MEDIA_HOSTS: Vec<HostPattern> = "tenant"."media_hosts", HOSTS,
        Described("any with a public address");
    "The only hosts that recordings are fetched from: names, `*.` and the end of a name, or addresses. A host with a private or link-local address must be named."
    LOGIN_HOSTS: Vec<HostPattern> = "tenant"."login_hosts", HOSTS,
        Described("those that `issuer`, `auth_endpoint` and discovery lead to");
    "The only hosts that the access key and its secret are sent to, written as in `media_hosts`. A login at another host is refused before anything is sent."
    TENANT_CA_FILE: PathBuf = "tenant"."ca_file", PATH, Described("none: the system's authorities alone");
    "Certificates (PEM, any number) of authorities that are trusted beside the system's when the tenant is asked: those of a company whose proxy opens TLS. Refused if others can change the file."
    REPORTING_VERSION: String = "tenant"."reporting_version", VERSION, Is("v30.0");
    "Version of the Reporting API that is asked for."

    SINCE: Since = "tree"."since", SINCE, Is("90d"), flag "--since";
    "The first day that the tree shows: a date, or days before today."
    TIMEZONE: TimeZone = "tree"."timezone", ZONE, Described("the system's"), flag "--timezone";
    "The time zone whose days and times name the folders. Changing it later gives new names to what was published."
    MEDIA_TYPES: Channels = "tree"."media_types", CHANNELS, Is("call,voicemail,chat,email,sms,digital,social,other");
    "The channels that the tree shows; `other` is every one without a word of its own, which is called `media` and its number."
    REFRESH: Duration = "tree"."refresh", DURATION, Is("5m");
    "A day that is not closed yet is listed again behind an access when its listing is older than this."

    RESOLVE_ON: ResolveOn = "mount"."resolve_on", RESOLVE_ON, Is("open"), flag "--resolve-on";
    "When a billed call is made to learn exact names and sizes: at `open`, already at `stat`, or when an interaction's folder is listed."
    ALLOW_OTHER: bool = "mount"."allow_other", SWITCH, Is("false"), flag "--allow-other";
    "Lets other users in; the kernel then checks owner and mode. Needs root, or `user_allow_other` in `/etc/fuse.conf`."
    PASSTHROUGH: bool = "mount"."passthrough", SWITCH, Is("true");
    "Lets the kernel read complete recordings straight from the cache where it can."
    UID: Account = "mount"."uid", ACCOUNT, Described("the mounting user");
    "Owner of everything in the tree: a number, or a name that `getent passwd` knows."
    GID: Account = "mount"."gid", ACCOUNT, Described("the mounting user's group");
    "Group of everything in the tree: a number, or a name that `getent group` knows."
    DIR_MODE: u16 = "mount"."dir_mode", MODE, Is("0550");
    "Mode of directories."
    FILE_MODE: u16 = "mount"."file_mode", MODE, Is("0440");
    "Mode of files."
    DENY_PROCESSES: Vec<String> = "mount"."deny_processes", PATTERNS,
        Is("updatedb*,mlocate,plocate,baloo_file*,tracker-*,localsearch*,*thumbnail*,*thumbnai,ffmpegthumb*,gst-*thumb*,tumblerd,mds*,mdworker*,\
            clamd*,clamscan,clamonacc,freshclam,wdavdaemon*,falcon-sensor*,savscand,ds_agent,recollindex,kioslave*,kioworker,thumbnail.so");
    "Programs (by `/proc/PID/exe`, `argv[0]` or `comm`; a pattern with a slash goes by the whole path) that get EACCES where a billed call would be needed."
    FILE_MANAGERS: Vec<String> = "mount"."file_managers", PATTERNS,
        Is("gio,gvfsd*,nautilus*,org.gnome.Nautilus*,nemo*,caja*,thunar*,xfdesktop,pcmanfm*,dolphin,konqueror,krusader,plasmashell,krunner,\
            kiod*,xdg-desktop-portal*,gnome-shell,cinnamon,io.elementary.files*,pantheon-files*,cosmic-files*,dde-file-manager*,dde-desktop,\
            peony*,spacefm,doublecmd,yazi");
    "Programs that open a document only to tell what it is, named as in `deny_processes`: they get EACCES for a document where a billed call would be needed. Recordings open for them."
    RESOLVE_ON_STAT_FOR: Vec<String> = "mount"."resolve_on_stat_for", CALLERS, Described("nobody");
    "Programs (told as those of `deny_processes`) and users (by name or number) for whom `stat` makes the billed call and shows the exact size, while it stays free for everybody else. A text that is both a program's and a user's name means both."

    MEDIA_CA_FILE: PathBuf = "media"."ca_file", PATH, Described("none: the system's authorities alone");
    "The same for hosts that recordings are fetched from; `tenant.ca_file` does not hold for them."

    CACHE_DIR: PathBuf = "cache"."dir", PATH,
        Described("`$XDG_CACHE_HOME/cxonefs`; for root `/var/cache/cxonefs`, with `/etc/cxonefs/NAME.toml` `/var/cache/cxonefs/NAME`"), flag "--cache-dir";
    "Where bytes of recordings are kept. Mode 0700."
    CACHE_SIZE: u64 = "cache"."size", SIZE, Is("10GiB"), flag "--cache-size";
    "What the cache may occupy on disk, at most."
    CACHE_MIN_FREE: u64 = "cache"."min_free", SIZE, Is("1GiB");
    "What must stay free on the cache's file system."
    WHOLE_FILE_BELOW: u64 = "cache"."whole_file_below", SIZE, Is("16MiB");
    "Recordings up to this size are fetched whole at their first read."
    CACHE_MAX_AGE: Duration = "cache"."max_age", DURATION, Is("30d");
    "Bytes of recordings are dropped so long after they were fetched, at start and while mounted. Sizes and documents stay; reading again fetches again, and makes a billed call if the link has ended."
    ENCRYPTION: bool = "cache"."encryption", ENCRYPTION, Is("optional");
    "Whether there must be a key: with `required` nothing is mounted, and nothing written in the clear, without one."
    ENCRYPTION_KEY_FILE: PathBuf = "cache"."encryption_key_file", PATH,
        Described("`encryption_key` in systemd's `$CREDENTIALS_DIRECTORY`, else none: not encrypted");
    "A file with a key of 32 bytes (as they are, or in hexadecimal or base64), under the same rules as `access_key_secret_file`. With a key, recordings in the cache and what the state says of people are encrypted; see `docs/ENCRYPTION.md`."
    ENCRYPTION_KEY_COMMAND: Vec<String> = "cache"."encryption_key_command", COMMAND, Described("none");
    "A program, by its whole path, and its arguments, that prints such a key: a key service, a TPM, a vault. Run without a shell; refused if others can change it; it has 30 s."
    ENCRYPTION_PREVIOUS_KEY_FILE: PathBuf = "cache"."encryption_previous_key_file", PATH,
        Described("`encryption_previous_key` in systemd's `$CREDENTIALS_DIRECTORY`");
    "The key before the present one, while that is being replaced: at the next mount the state is encrypted anew, and the keys of the recordings in the cache. Without a present key, the state is decrypted and the cache begun anew."
    ENCRYPTION_PREVIOUS_KEY_COMMAND: Vec<String> = "cache"."encryption_previous_key_command", COMMAND, Described("none");
    "A program that prints the key before the present one, under the same rules as `encryption_key_command`."
    NEVER: Vec<String> = "cache"."never", NAMES, Described("none");
    "Names of skills: recordings of interactions in which one of them took part are read without any byte of them on disk, in the cache or elsewhere. They take part of `limits.memory`."

    STATE_DIR: PathBuf = "state"."dir", PATH,
        Described("`$XDG_STATE_HOME/cxonefs`; for root `/var/lib/cxonefs`, with `/etc/cxonefs/NAME.toml` `/var/lib/cxonefs/NAME`"), flag "--state-dir";
    "Where the index, the resolved sizes, the ledger and the audit log are kept. Not a cache: losing it costs billed calls. Mode 0700."

    AUDIT_KEEP: Duration = "audit"."keep", DURATION, Is("400d");
    "How long lines of the audit log are kept. They go by age alone, never by how much there is; `cxonefs status` and `doctor` say what disk that takes."
    AUDIT_REQUIRED: bool = "audit"."required", SWITCH, Is("false");
    "Refuses to open what cannot be put on record: the line is on disk before the open is answered, else EIO. Without it, what cannot be written is counted."
    AUDIT_EXPORT: Export = "audit"."export", EXPORT, Is("none");
    "Hands each line of the audit log also to the log service, as JSON in the Elastic Common Schema. What was handed over is out of reach of erasing."

    PLAYBACK_REQUESTS: u32 = "limits"."playback_requests", COUNT, Is("150");
    "Billed calls in any `playback_window`, at most. The tenant's own limit is 150 in 5 minutes."
    PLAYBACK_WINDOW: Duration = "limits"."playback_window", DURATION, Is("5m");
    "The window of `playback_requests`."
    DAILY_BUDGET: Option<u32> = "limits"."daily_budget", BUDGET, Is("1000");
    "Billed calls per UTC day, at most; beyond it EDQUOT."
    DAILY_BUDGET_PER_USER: Option<u32> = "limits"."daily_budget_per_user", BUDGET, Is("unlimited");
    "The same for each user who opens files, within `daily_budget`."
    DEADLINE: Duration = "limits"."deadline", DURATION, Is("30s");
    "The longest that one request waits without progress before ETIMEDOUT. What it waited for goes on."
    PATIENCE: Option<Duration> = "limits"."patience", PATIENCE, Is("10m");
    "The longest that one request may wait for the rate limit before ETIMEDOUT. The default is never shorter than `playback_window`."
    CALL_TIMEOUT: Duration = "limits"."call_timeout", DURATION, Is("5m");
    "The longest that one billed call may take. It goes on when nobody waits for it any more, and its answer is kept."
    MEMORY: u64 = "limits"."memory", SIZE, Is("128MiB");
    "Bytes in flight, at most."
    MEDIA_CONNECTIONS: u32 = "limits"."media_connections", COUNT, Is("16");
    "Connections to each media host at the same time, at most."
}

/// The key of that name, if there is one.
#[must_use]
pub fn find(section: &str, name: &str) -> Option<&'static dyn AnyKey> {
    ALL.iter().copied().find(|key| key.info().section == section && key.info().name == name)
}

/// The sections, in the order of the documentation.
#[must_use]
pub fn sections() -> Vec<&'static str> {
    let mut sections: Vec<&'static str> = ALL.iter().map(|key| key.info().section).collect();
    sections.dedup();
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_can_be_read() {
        for key in ALL {
            if let DefaultValue::Is(text) = key.info().default_value {
                key.check(&Value::Plain(text.to_owned()))
                    .unwrap_or_else(|error| panic!("{}: {error}", key.info().path()));
            }
        }
    }

    #[test]
    fn names_and_variables_are_distinct() {
        let mut seen = std::collections::HashSet::new();
        for key in ALL {
            assert!(seen.insert(key.info().path()), "{}", key.info().path());
            for variable in key.info().variables() {
                assert!(seen.insert(variable.clone()), "{variable}");
            }
        }
    }

    #[test]
    fn sections_are_contiguous() {
        assert_eq!(sections(), ["tenant", "tree", "mount", "media", "cache", "state", "audit", "limits"]);
    }
}

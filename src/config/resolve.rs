//! From what was given to typed settings: file < environment < profile < flags, then defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;
use secrecy::SecretString;

use super::also;
use super::env::Environment;
use super::error::{BadCaFile, ConfigError};
use super::host::Host;
use super::key_command;
use super::keys::{self, DefaultValue, Info, Key};
use super::kinds::Account;
use super::locate;
use super::raw::{self, Assignment, ConfigFile, Layer};
use super::secrets;
use super::settings::{
    AlsoConfig, AuditConfig, CacheConfig, ClientConfig, Config, LimitsConfig, MediaConfig, MountConfig, Profile,
    StateConfig, Stores, TenantConfig, TreeConfig,
};
use super::trust;
use super::value::{Origin, Setting, Value};
use crate::base::crypt::{Keys, MasterKey};
use crate::base::{ResolveOn, accounts};
use crate::net::{CaBundle, CaError};

/// Everything that may say something.
#[derive(Default)]
pub struct Sources {
    pub file: Option<ConfigFile>,
    pub environment: Environment,
    pub profile: Option<Profile>,
    pub flags: Vec<Assignment>,
}

/// Settles `state.dir` alone, for commands that look into it: needs no tenant and reads no secret.
pub fn state_dir(sources: &Sources, host: &Host) -> Result<PathBuf, ConfigError> {
    let mut layer = match &sources.file {
        Some(file) => raw::parse_file(file)?,
        None => Layer::new(),
    };
    layer.extend(sources.environment.layer.clone());
    layer.extend(raw::parse_assignments(&sources.flags)?);
    Resolver { layer, sources, host }.state_dir()
}

/// Where state and cache are if nobody says where: what `init` writes down.
pub fn default_dirs(file: &Path, host: &Host) -> (Option<PathBuf>, Option<PathBuf>) {
    let name = instance(file, host);
    let of_instance = |dir: Option<PathBuf>| dir.map(|dir| name.iter().fold(dir, |dir, name| dir.join(name)));
    (of_instance(host.state_dir()), of_instance(host.cache_dir()))
}

/// The name of a service whose configuration this is: each has directories of its own.
fn instance(file: &Path, host: &Host) -> Option<String> {
    let of_system = host.is_root() && file.parent() == Path::new(locate::SYSTEM_CONFIG).parent();
    let name = file.file_name()?.to_str()?.strip_suffix(".toml")?;
    (of_system && name != "config" && !name.is_empty()).then(|| name.to_owned())
}

/// Settles the directories and what belongs to them, for commands that look after what is kept: needs no tenant and reads no secret of it.
pub fn stores(sources: &Sources, host: &Host) -> Result<Stores, ConfigError> {
    let mut layer = match &sources.file {
        Some(file) => raw::parse_file(file)?,
        None => Layer::new(),
    };
    layer.extend(sources.environment.layer.clone());
    layer.extend(raw::parse_assignments(&sources.flags)?);
    let resolver = Resolver { layer, sources, host };
    let state_dir = resolver.state_dir()?;
    Ok(Stores { state_dir, cache: resolver.cache()?, audit: resolver.audit()?, limits: resolver.limits()? })
}

/// Settles every key. Reads the files that hold secrets and touches nothing else.
pub fn resolve(sources: &Sources, host: &Host) -> Result<Config, ConfigError> {
    let mut layer = match &sources.file {
        Some(file) => raw::parse_file(file)?,
        None => Layer::new(),
    };
    layer.extend(sources.environment.layer.clone());
    if let Some(profile) = sources.profile {
        layer.extend(profile_layer(profile));
    }
    layer.extend(raw::parse_assignments(&sources.flags)?);
    let resolver = Resolver { layer, sources, host };
    let mut warnings = Vec::new();
    let tenant = resolver.tenant()?;
    let tree = resolver.tree(&mut warnings)?;
    Ok(Config {
        file: sources.file.as_ref().map(|file| file.path.clone()),
        tenant,
        tree,
        mount: resolver.mount()?,
        media: MediaConfig { ca_file: resolver.ca_file(&keys::MEDIA_CA_FILE)? },
        cache: resolver.cache()?,
        state: StateConfig { dir: resolver.state_dir()? },
        audit: resolver.audit()?,
        limits: resolver.limits()?,
        warnings,
    })
}

/// `backup`: no listed name ever fails to open, and no wait for the rate limit is too long.
fn profile_layer(profile: Profile) -> Layer {
    let Profile::Backup = profile;
    let settings = [("mount.resolve_on", "list"), ("limits.patience", "unlimited")];
    let origin = Origin::Profile(profile.word());
    settings
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Setting { value: Value::Plain(value.to_owned()), origin: origin.clone() }))
        .collect()
}

struct Resolver<'a> {
    layer: Layer,
    sources: &'a Sources,
    host: &'a Host,
}

impl Resolver<'_> {
    /// The value and where it came from; `None` if nobody says anything and there is no default that could be read.
    fn get<T>(&self, key: &Key<T>) -> Result<Option<(T, Origin)>, ConfigError> {
        let (value, origin) = match (self.layer.get(&key.info.path()), key.info.default_value) {
            (Some(setting), _) => (setting.value.clone(), setting.origin.clone()),
            (None, DefaultValue::Is(text)) => (Value::Plain(text.to_owned()), Origin::Default),
            (None, DefaultValue::Described(_) | DefaultValue::Required) => return Ok(None),
        };
        match (key.kind.read)(&value) {
            Ok(value) => Ok(Some((value, origin))),
            Err(reason) => Err(ConfigError::Invalid {
                place: origin,
                key: key.info.path(),
                expected: key.kind.expected,
                found: value.to_string(),
                reason,
            }),
        }
    }

    fn optional<T>(&self, key: &Key<T>) -> Result<Option<T>, ConfigError> {
        Ok(self.get(key)?.map(|(value, _)| value))
    }

    /// For keys that are required or have a default.
    fn required<T>(&self, key: &Key<T>) -> Result<T, ConfigError> {
        self.optional(key)?.ok_or_else(|| self.missing(&key.info))
    }

    fn missing(&self, info: &Info) -> ConfigError {
        ConfigError::Missing {
            key: info.path(),
            variable: info.variables().swap_remove(0),
            file: self.sources.file.as_ref().map(|file| file.path.clone()),
        }
    }

    fn between<T: PartialOrd>(&self, key: &Key<T>, least: &T, shown: &str) -> Result<T, ConfigError> {
        let Some((value, origin)) = self.get(key)? else { return Err(self.missing(&key.info)) };
        if value < *least {
            let reason = format!("it must be at least {shown}");
            return Err(ConfigError::OutOfRange { place: origin, key: key.info.path(), reason });
        }
        Ok(value)
    }

    fn tenant(&self) -> Result<TenantConfig, ConfigError> {
        let mut secret_files = Vec::new();
        let access_key_secret =
            self.secret(&keys::ACCESS_KEY_SECRET, &keys::ACCESS_KEY_SECRET_FILE, &mut secret_files)?;
        let client = match self.optional(&keys::CLIENT_ID)? {
            Some(client_id) => {
                let client_secret = self.secret(&keys::CLIENT_SECRET, &keys::CLIENT_SECRET_FILE, &mut secret_files)?;
                let client_secret = client_secret.ok_or_else(|| missing_secret(&keys::CLIENT_SECRET.info))?;
                Some(ClientConfig { client_id, client_secret })
            }
            None => None,
        };
        Ok(TenantConfig {
            issuer: self.required(&keys::ISSUER)?,
            access_key_id: self.required(&keys::ACCESS_KEY_ID)?,
            access_key_secret: access_key_secret.ok_or_else(|| missing_secret(&keys::ACCESS_KEY_SECRET.info))?,
            secret_files,
            client,
            area: self.optional(&keys::AREA)?,
            auth_endpoint: self.optional(&keys::AUTH_ENDPOINT)?,
            api_endpoint: self.optional(&keys::API_ENDPOINT)?,
            playback_endpoint: self.optional(&keys::PLAYBACK_ENDPOINT)?,
            media_hosts: self.optional(&keys::MEDIA_HOSTS)?.unwrap_or_default(),
            login_hosts: self.optional(&keys::LOGIN_HOSTS)?.unwrap_or_default(),
            ca_file: self.ca_file(&keys::TENANT_CA_FILE)?,
            reporting_version: self.required(&keys::REPORTING_VERSION)?,
        })
    }

    /// In order: a file named by a flag, the environment, a file named elsewhere, systemd's credentials directory.
    fn secret(
        &self,
        key: &Key<String>,
        file_key: &Key<PathBuf>,
        files: &mut Vec<PathBuf>,
    ) -> Result<Option<SecretString>, ConfigError> {
        let mut read = |path: &Path, origin: &Origin| {
            let path = self.absolute(path, origin, &file_key.info)?;
            files.push(path.clone());
            secrets::read_file(&path, self.host.euid, &file_key.info.path(), origin)
        };
        let file = self.get(file_key)?;
        let from_environment = self.sources.environment.secrets.get(&key.info.path());
        match (file, from_environment) {
            (Some((path, origin)), None) => read(&path, &origin).map(Some),
            (Some((path, origin)), Some(_)) if origin.is_flag() => read(&path, &origin).map(Some),
            (_, Some(secret)) => Ok(Some(secret.clone())),
            (None, None) => {
                let Some(directory) = &self.host.credentials else { return Ok(None) };
                let path = directory.join(key.info.name);
                if !path.exists() {
                    return Ok(None);
                }
                let origin = Origin::Environment(String::from("CREDENTIALS_DIRECTORY"));
                read(&path, &origin).map(Some)
            }
        }
    }

    /// A file of certificates that nobody else may change: a user who can change it can pose as the tenant.
    fn ca_file(&self, key: &Key<PathBuf>) -> Result<Option<CaBundle>, ConfigError> {
        let Some((path, place)) = self.get(key)? else { return Ok(None) };
        let path = self.absolute(&path, &place, &key.info)?;
        let refused = |why, remedy| {
            let bad = Box::new(BadCaFile { path: path.clone(), why, remedy });
            ConfigError::CaFile { place: place.clone(), key: key.info.path(), bad }
        };
        let (bundle, file) = CaBundle::read(&path).map_err(|error| refused(error, None))?;
        let metadata = file.metadata().map_err(|error| refused(CaError::Unreadable(error), None))?;
        match trust::check(&path, &metadata, self.host.euid) {
            Ok(()) => Ok(Some(bundle)),
            Err(distrust) => {
                let why = format!("{} {}", distrust.path.display(), distrust.problem);
                Err(refused(CaError::Untrusted(why), Some(distrust.remedy)))
            }
        }
    }

    fn tree(&self, warnings: &mut Vec<String>) -> Result<TreeConfig, ConfigError> {
        let named = self.optional(&keys::TIMEZONE)?;
        let timezone_is_default = named.is_none();
        let system = || {
            TimeZone::try_system().unwrap_or_else(|_| {
                warnings.push(String::from(
                    "the system's time zone is unknown, so days are UTC days; set tree.timezone to choose",
                ));
                TimeZone::UTC
            })
        };
        let timezone = named.unwrap_or_else(system);
        Ok(TreeConfig {
            since: self.required(&keys::SINCE)?,
            timezone,
            timezone_is_default,
            media_types: self.required(&keys::MEDIA_TYPES)?,
            refresh: self.between(&keys::REFRESH, &Duration::from_secs(1), "1s")?,
        })
    }

    fn mount(&self) -> Result<MountConfig, ConfigError> {
        Ok(MountConfig {
            resolve_on: self.required(&keys::RESOLVE_ON)?,
            allow_other: self.required(&keys::ALLOW_OTHER)?,
            passthrough: self.required(&keys::PASSTHROUGH)?,
            uid: self.account(&keys::UID, "passwd", accounts::user_id)?.unwrap_or(self.host.euid),
            gid: self.account(&keys::GID, "group", accounts::group_id)?.unwrap_or(self.host.egid),
            dir_mode: self.required(&keys::DIR_MODE)?,
            file_mode: self.required(&keys::FILE_MODE)?,
            deny_processes: self.required(&keys::DENY_PROCESSES)?,
            file_managers: self.required(&keys::FILE_MANAGERS)?,
            resolve_on_stat_for: self.optional(&keys::RESOLVE_ON_STAT_FOR)?.unwrap_or_default(),
            also: self.also()?,
        })
    }

    /// A user or group by number or name; `database` is what `getent` calls where it is looked up.
    fn account(
        &self,
        key: &Key<Account>,
        database: &str,
        look_up: impl Fn(&str) -> Option<u32>,
    ) -> Result<Option<u32>, ConfigError> {
        match self.get(key)? {
            None => Ok(None),
            Some((Account::Number(number), _)) => Ok(Some(number)),
            Some((Account::Name(name), place)) => look_up(&name).map(Some).ok_or_else(|| {
                let reason = format!("this machine knows no {name:?}: getent {database} {name:?} must find it");
                ConfigError::OutOfRange { place, key: key.info.path(), reason }
            }),
        }
    }

    /// What a place does not say is as in `[mount]`.
    fn also(&self) -> Result<Vec<AlsoConfig>, ConfigError> {
        let mut all: Vec<AlsoConfig> = Vec::new();
        for place in also::places(&self.layer)? {
            let (dir, origin) = place.dir;
            let dir = self.absolute(&dir, &origin, &keys::CACHE_DIR.info)?;
            if all.iter().any(|other| other.dir == dir) {
                return Err(also::wrong(origin, "two places have the same dir"));
            }
            let of_profile = place.profile.map(|Profile::Backup| ResolveOn::List);
            let resolve_on = match place.resolve_on.or(of_profile) {
                Some(resolve_on) => resolve_on,
                None => self.required(&keys::RESOLVE_ON)?,
            };
            all.push(AlsoConfig { dir, resolve_on, waits_long: place.profile.is_some() });
        }
        Ok(all)
    }

    fn cache(&self) -> Result<CacheConfig, ConfigError> {
        // One block of each of a few recordings must fit, or nothing would ever be kept.
        let size = self.between(&keys::CACHE_SIZE, &(1 << 20), "1MiB")?;
        Ok(CacheConfig {
            dir: self.directory(&keys::CACHE_DIR, self.default_dirs().1)?,
            size,
            min_free: self.required(&keys::CACHE_MIN_FREE)?,
            whole_file_below: self.required(&keys::WHOLE_FILE_BELOW)?,
            max_age: self.between(&keys::CACHE_MAX_AGE, &Duration::from_secs(1), "1s")?,
            keys: self.keys()?,
            never: self.optional(&keys::NEVER)?.unwrap_or_default(),
        })
    }

    fn keys(&self) -> Result<Keys, ConfigError> {
        let current = self.key("encryption_key", &keys::ENCRYPTION_KEY_FILE, &keys::ENCRYPTION_KEY_COMMAND)?;
        if let (None, Some((true, place))) = (&current, self.get(&keys::ENCRYPTION)?) {
            return Err(ConfigError::NoKey { place });
        }
        let (file, command) = (&keys::ENCRYPTION_PREVIOUS_KEY_FILE, &keys::ENCRYPTION_PREVIOUS_KEY_COMMAND);
        Ok(Keys { current, previous: self.key("encryption_previous_key", file, command)? })
    }

    /// A key from a file or a command that is named, else from systemd's credentials directory.
    fn key(
        &self,
        credential: &str,
        file: &Key<PathBuf>,
        command: &Key<Vec<String>>,
    ) -> Result<Option<MasterKey>, ConfigError> {
        let euid = self.host.euid;
        let read =
            |path: &Path, origin: &Origin| secrets::read_key_file(path, euid, &file.info.path(), origin).map(Some);
        match (self.get(file)?, self.get(command)?) {
            (Some(_), Some((_, place))) => {
                let reason = format!("{} is set too, and only one of them can be the key", file.info.path());
                Err(ConfigError::OutOfRange { place, key: command.info.path(), reason })
            }
            (Some((path, origin)), None) => read(&self.absolute(&path, &origin, &file.info)?, &origin),
            (None, Some((words, origin))) => {
                key_command::read_key(&words, euid, &command.info.path(), &origin).map(Some)
            }
            (None, None) => match self.host.credentials.as_ref().map(|directory| directory.join(credential)) {
                Some(path) if path.exists() => read(&path, &Origin::Environment(String::from("CREDENTIALS_DIRECTORY"))),
                _ => Ok(None),
            },
        }
    }

    fn audit(&self) -> Result<AuditConfig, ConfigError> {
        Ok(AuditConfig {
            // Less than a day would delete what was written on the day that is looked into.
            keep: self.between(&keys::AUDIT_KEEP, &Duration::from_hours(24), "1d")?,
            required: self.required(&keys::AUDIT_REQUIRED)?,
            export: self.required(&keys::AUDIT_EXPORT)?,
        })
    }

    fn limits(&self) -> Result<LimitsConfig, ConfigError> {
        let media_connections = self.required(&keys::MEDIA_CONNECTIONS)?;
        let playback_window = self.between(&keys::PLAYBACK_WINDOW, &Duration::from_millis(100), "100ms")?;
        Ok(LimitsConfig {
            playback_requests: self.required(&keys::PLAYBACK_REQUESTS)?,
            playback_window,
            daily_budget: self.required(&keys::DAILY_BUDGET)?,
            daily_budget_per_user: self.required(&keys::DAILY_BUDGET_PER_USER)?,
            deadline: self.between(&keys::DEADLINE, &Duration::from_millis(100), "100ms")?,
            call_timeout: self.between(&keys::CALL_TIMEOUT, &Duration::from_millis(100), "100ms")?,
            patience: self.patience(playback_window)?,
            // Below this, one stalled connection would hold up every other.
            memory: self.between(&keys::MEMORY, &(8 << 20), "8MiB")?,
            media_connections: media_connections as usize,
        })
    }

    /// A default that is shorter than the window would end waits that the window alone makes necessary.
    fn patience(&self, window: Duration) -> Result<Option<Duration>, ConfigError> {
        let Some((patience, origin)) = self.get(&keys::PATIENCE)? else {
            return Err(self.missing(&keys::PATIENCE.info));
        };
        Ok(if origin == Origin::Default { patience.map(|patience| patience.max(window)) } else { patience })
    }

    fn state_dir(&self) -> Result<PathBuf, ConfigError> {
        self.directory(&keys::STATE_DIR, self.default_dirs().0)
    }

    fn default_dirs(&self) -> (Option<PathBuf>, Option<PathBuf>) {
        let file = self.sources.file.as_ref().map_or(Path::new(""), |file| &file.path);
        default_dirs(file, self.host)
    }

    fn directory(&self, key: &Key<PathBuf>, default: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
        match self.get(key)? {
            Some((path, origin)) => self.absolute(&path, &origin, &key.info),
            None => default.ok_or_else(|| ConfigError::NoHome { key: key.info.path() }),
        }
    }

    /// `~/` is the home directory; a relative path starts from its file's folder, else from the current directory.
    fn absolute(&self, path: &Path, origin: &Origin, info: &Info) -> Result<PathBuf, ConfigError> {
        if let Ok(below) = path.strip_prefix("~") {
            let home = self.host.home.as_ref().ok_or_else(|| ConfigError::NoHome { key: info.path() })?;
            return Ok(home.join(below));
        }
        let base = origin.folder().map_or(self.host.current_dir.clone(), |folder| self.host.current_dir.join(folder));
        Ok(base.join(path))
    }
}

fn missing_secret(info: &'static Info) -> ConfigError {
    let file_key = match info.standing {
        keys::Standing::Secret { file_key } => file_key,
        keys::Standing::Settable => info.name,
    };
    ConfigError::MissingSecret { key: info.name, file_key, variable: info.variables().swap_remove(0) }
}

#[cfg(test)]
mod tests;

//! Where log lines go and what they look like: text on a terminal and in files, fields of their own in the journal, JSON lines where
//! asked for; for a daemon without a terminal the journal, else syslog, else a file. What is logged can be changed while the process
//! runs. Knows nothing of what is logged.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Registry, reload};

use super::privacy::PrivacyError;
use super::rotate::{RotatingFile, Rotation};
use super::syslog::{self, Syslog};
use crate::base::failure::Failure;
use crate::base::shown;

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people; coloured on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// The journal's own form, whatever the target; text where there is no journal.
    Journal,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Stderr,
    /// The journal, else the local syslog socket, else the file.
    System {
        otherwise: PathBuf,
    },
    /// A private file, rotated.
    File(PathBuf),
}

/// What is logged, how, and where.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// A level, or directives such as `info,cxonefs::media=debug`.
    pub filter: String,
    pub format: Format,
    pub target: Target,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    #[error("{filter:?} is neither a level (error, warn, info, debug, trace, off) nor a filter")]
    Level { filter: String },
    #[error("{filter:?} is no filter")]
    Filter {
        filter: String,
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("cannot open the log file")]
    File(#[from] PrivacyError),
    #[error("logging has begun already")]
    Twice(#[source] tracing::subscriber::SetGlobalDefaultError),
    #[error("logging has not begun")]
    NotYet,
}

/// Checks a filter without using it.
pub fn check_filter(filter: &str) -> Result<(), LoggingError> {
    parse_filter(filter).map(|_| ())
}

/// What changes the filter of this process's log.
struct Control {
    handle: reload::Handle<EnvFilter, Registry>,
    filter: Mutex<String>,
}

static CONTROL: OnceLock<Control> = OnceLock::new();

/// Begins logging for the whole process.
pub fn start(settings: &LogSettings) -> Result<(), LoggingError> {
    let (filter, handle) = reload::Layer::new(parse_filter(&settings.filter)?);
    let lines = lines(settings)?;
    tracing::subscriber::set_global_default(Registry::default().with(filter).with(lines))
        .map_err(LoggingError::Twice)?;
    let _ = CONTROL.set(Control { handle, filter: Mutex::new(settings.filter.clone()) });
    Ok(())
}

/// What is logged now; none before [`start`].
#[must_use]
pub fn filter() -> Option<String> {
    CONTROL.get().map(|control| control.filter.lock().clone())
}

/// Logs by another filter from now on.
pub fn set_filter(text: &str) -> Result<(), LoggingError> {
    let filter = parse_filter(text)?;
    let control = CONTROL.get().ok_or(LoggingError::NotYet)?;
    let mut known = control.filter.lock();
    control.handle.reload(filter).map_err(|_| LoggingError::NotYet)?;
    tracing::info!(before = *known, after = text, "the log level was {known} and is {text} from now on");
    text.clone_into(&mut known);
    Ok(())
}

/// What turns events into lines and sends them where they go.
fn lines<S>(settings: &LogSettings) -> Result<Box<dyn Layer<S> + Send + Sync>, LoggingError>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    if wants_journal(settings)
        && let Ok(journal) = tracing_journald::layer()
    {
        return Ok(journal
            .with_syslog_identifier(String::from("cxonefs"))
            .with_field_prefix(Some(String::from("CXONEFS")))
            .boxed());
    }
    let (writer, look) = writer(&settings.target)?;
    let writer = Legible { lines: writer, coloured: look.colour };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(look.colour);
    Ok(match (settings.format, look.time) {
        (Format::Json, _) => layer.json().flatten_event(true).boxed(),
        (Format::Text | Format::Journal, true) => layer.boxed(),
        (Format::Text | Format::Journal, false) => layer.without_time().boxed(),
    })
}

/// Whether lines go to the journal by its own protocol: where they would go there anyway, or where it is asked for.
fn wants_journal(settings: &LogSettings) -> bool {
    match (&settings.target, settings.format) {
        (_, Format::Json) | (Target::File(_), _) => false,
        (_, Format::Journal) | (Target::System { .. }, _) => true,
        (Target::Stderr, Format::Text) => is_journal_stream(),
    }
}

/// Whether standard error is the journal's, as `systemd.exec(5)` says to find out: by device and inode.
fn is_journal_stream() -> bool {
    let Some(told) = std::env::var("JOURNAL_STREAM").ok() else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    told == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, LoggingError> {
    // A single word that is no level would be taken for the name of a target, and everything would be logged.
    let is_word = !filter.contains(['=', ',', '[', ':']);
    let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(filter));
    if is_word && !is_level {
        return Err(LoggingError::Level { filter: filter.to_owned() });
    }
    EnvFilter::builder().parse(filter).map_err(|source| LoggingError::Filter { filter: filter.to_owned(), source })
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// What suits the place where lines go.
struct Look {
    colour: bool,
    /// Whether lines carry a time: the journal and syslog add their own.
    time: bool,
}

fn writer(target: &Target) -> Result<(BoxMakeWriter, Look), LoggingError> {
    match target {
        Target::Stderr => {
            let terminal = io::stderr().is_terminal();
            let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            Ok((BoxMakeWriter::new(io::stderr), Look { colour, time: !is_journal_stream() }))
        }
        Target::System { otherwise } => match Syslog::connect(Path::new(syslog::SOCKET)) {
            Ok(syslog) => Ok((BoxMakeWriter::new(syslog), Look { colour: false, time: false })),
            Err(_) => file(otherwise),
        },
        Target::File(path) => file(path),
    }
}

fn file(path: &Path) -> Result<(BoxMakeWriter, Look), LoggingError> {
    let file = RotatingFile::open(path, Rotation::LOG)?;
    Ok((BoxMakeWriter::new(SharedFile(Arc::new(Mutex::new(file)))), Look { colour: false, time: true }))
}

/// Lines in which nothing steers a terminal or turns text around, wherever its words come from.
struct Legible {
    lines: BoxMakeWriter,
    coloured: bool,
}

struct LegibleLine<W> {
    line: W,
    coloured: bool,
}

impl<'a> MakeWriter<'a> for Legible {
    type Writer = LegibleLine<Box<dyn Write + 'a>>;

    fn make_writer(&'a self) -> Self::Writer {
        LegibleLine { line: self.lines.make_writer(), coloured: self.coloured }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        LegibleLine { line: self.lines.make_writer_for(meta), coloured: self.coloured }
    }
}

impl<W: Write> Write for LegibleLine<W> {
    /// tracing writes each event at once, so this is one whole line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let shown = if self.coloured { shown::shown_coloured(&text) } else { shown::shown_lines(&text) };
        self.line.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.line.flush()
    }
}

/// A rotating file that every thread may write to.
#[derive(Clone)]
struct SharedFile(Arc<Mutex<RotatingFile>>);

impl<'a> MakeWriter<'a> for SharedFile {
    type Writer = SharedFile;

    fn make_writer(&'a self) -> SharedFile {
        self.clone()
    }
}

impl Write for SharedFile {
    /// tracing writes each event at once, so this is one whole line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<LoggingError> for Failure {
    fn from(error: LoggingError) -> Failure {
        let remedy = match &error {
            LoggingError::File(privacy) => Some(privacy.remedy()),
            _ => None,
        };
        let is_usage = matches!(error, LoggingError::Level { .. } | LoggingError::Filter { .. });
        let failure = if is_usage { Failure::usage(error) } else { Failure::failed(error) };
        failure.with_remedy(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for good in ["info", "WARN", "info,cxonefs::media=debug", "off", "cxonefs=trace"] {
            assert!(check_filter(good).is_ok(), "{good}");
        }
        for bad in ["inof", "verbose", "cxonefs=loud", ""] {
            assert!(check_filter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn words_from_elsewhere_neither_steer_a_terminal_nor_turn_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cxonefs.log");
        let (writer, look) = file(&path).unwrap();
        let writer = Legible { lines: writer, coloured: look.colour };
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(look.colour).finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(program = %"cat\u{202e}\u{200b}", error = "\u{1b}[2J", "said \u{2066}this");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let replaced = text.matches('\u{fffd}').count();
        assert!(!text.trim_end().chars().any(shown::is_unshowable) && replaced >= 3, "{text:?}");
    }

    #[test]
    fn a_log_file_holds_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cxonefs.log");
        let (writer, look) = file(&path).unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(look.colour).json().finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(number = 1, "one");
            tracing::warn!(number = 2, "two");
        });
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1]["fields"]["number"], 2);
    }
}

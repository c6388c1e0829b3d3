//! Who asks: for the ledger, the audit log, the scanner guard, and to end the work of a request whose caller has gone.
//!
//! Knows no kernel and no network: each door tells through [`Origin`] what it knows of its callers.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;

use crate::base::{user_name, user_words};

/// How often a waiting caller is looked at: a blocked process must end within 1 s of Ctrl-C.
const WATCH_EVERY: Duration = Duration::from_millis(200);
/// The longest wait for what lies in a program's own memory.
const ARGV0_WAIT_MAX: Duration = Duration::from_secs(1);

/// A user as the door knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

/// A program, as far as its door can see it without waiting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// The process, not its thread.
    pub pid: u32,
    /// The name that the kernel keeps, cut at 15 bytes.
    pub comm: String,
    /// The name of the thread that asks, where it is another.
    pub thread: Option<String>,
    /// Path of the executable file, where it may be seen.
    pub exe: Option<String>,
    /// The user who logged in, whatever user the program runs as now.
    pub login_uid: Option<u32>,
    /// The login session, as the kernel's audit numbers it.
    pub session: Option<u32>,
}

/// What a door knows of one caller.
#[async_trait]
pub trait Origin: Send + Sync + 'static {
    /// The program that asks, as it is now. Must not wait.
    fn program(&self) -> Option<Program>;

    /// The name under which that program was started. May wait for the program, so it is asked for only where it decides something.
    async fn argv0(&self) -> Option<String>;

    /// Whether that program has a library loaded whose path holds `part`. May wait for the program.
    async fn has_loaded(&self, part: &'static str) -> bool;

    /// Whether the caller still waits for an answer. Must not wait.
    fn presence(&self) -> Presence;
}

/// Whether a caller waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It waits, as far as can be seen.
    Waits,
    /// It was asked to stop and would do so if it got an answer: an error serves it better than a long wait.
    AskedToStop,
    /// It has ended, or is dying: nobody hears the answer.
    Gone,
}

/// Who asks, from a request's arrival to the end of its work. Cheap to clone.
#[derive(Clone)]
pub struct Principal {
    caller: Arc<Inner<dyn Origin>>,
    /// Whether a billed call was made in this caller's name. Shared by clones, as they stand for the same work.
    paid: Arc<AtomicBool>,
}

struct Inner<O: ?Sized> {
    user: User,
    program: OnceLock<Option<Program>>,
    argv0: OnceLock<Option<String>>,
    gone: AtomicBool,
    origin: O,
}

impl Principal {
    /// A caller of whom `origin` tells. Asks it nothing yet.
    pub fn new(user: User, origin: impl Origin) -> Principal {
        let (program, argv0) = (OnceLock::new(), OnceLock::new());
        let caller = Arc::new(Inner { user, program, argv0, gone: AtomicBool::new(false), origin });
        Principal { caller, paid: Arc::default() }
    }

    /// The same caller at another piece of work, for which nothing was paid yet.
    #[must_use]
    pub fn anew(&self) -> Principal {
        Principal { caller: Arc::clone(&self.caller), paid: Arc::default() }
    }

    /// Whether a billed call was made in this caller's name for this piece of work. Of several callers who wait for one call one has paid.
    pub fn has_paid(&self) -> bool {
        self.paid.load(Ordering::Acquire)
    }

    /// Keeps whether a call that is made in this caller's name is billed.
    pub(super) fn note_payment(&self, is_billed: bool) {
        self.paid.store(is_billed, Ordering::Release);
    }

    /// A caller of whom nothing but the user can be known.
    pub fn unidentified(user: User) -> Principal {
        Principal::new(user, Unseen)
    }

    /// The user.
    pub fn user(&self) -> User {
        self.caller.user
    }

    /// The program, looked up once. `None`: the door cannot see it.
    pub fn program(&self) -> Option<&Program> {
        self.caller.program.get_or_init(|| self.caller.origin.program()).as_ref()
    }

    /// The process, for records; 0 where it cannot be seen.
    pub fn pid(&self) -> u32 {
        self.program().map_or(0, |program| program.pid)
    }

    /// The program's short name, for records; empty where it cannot be seen.
    pub fn comm(&self) -> &str {
        self.program().map_or("", |program| &program.comm)
    }

    /// Learns now what records need later. To be called before a request waits: afterwards the caller may be gone.
    pub fn identify(&self) {
        let _ = self.program();
        user_name::learn(self.caller.user.uid);
    }

    /// The caller in messages: `user 1000 (anna), program rsync (process 4242)`.
    pub fn words(&self) -> String {
        let user = user_words(self.caller.user.uid);
        match self.program() {
            Some(program) if !program.comm.is_empty() => {
                format!("{user}, program {} (process {})", program.comm, program.pid)
            }
            _ => format!("{user}, an unknown program"),
        }
    }

    /// The name under which the program was started, looked up once.
    pub async fn argv0(&self) -> Option<&str> {
        if self.known_argv0().is_none() {
            let name = tokio::time::timeout(ARGV0_WAIT_MAX, self.caller.origin.argv0()).await.ok().flatten();
            let _ = self.caller.argv0.set(name);
        }
        self.known_argv0().flatten()
    }

    /// The same, if it was looked up.
    pub fn known_argv0(&self) -> Option<Option<&str>> {
        self.caller.argv0.get().map(Option::as_deref)
    }

    /// Whether the program has a library loaded whose path holds `part`; no where that cannot be seen.
    pub async fn has_loaded(&self, part: &'static str) -> bool {
        tokio::time::timeout(ARGV0_WAIT_MAX, self.caller.origin.has_loaded(part)).await.unwrap_or(false)
    }

    /// Whether the caller has gone by now. Once gone, gone.
    pub fn has_gone(&self) -> bool {
        self.presence() == Presence::Gone
    }

    /// Resolves when the caller has gone; never if that cannot be seen.
    pub async fn gone(&self) {
        self.until(Presence::Gone).await;
    }

    /// Resolves when the caller has gone or was asked to stop.
    pub async fn gave_up(&self) {
        self.until(Presence::AskedToStop).await;
    }

    async fn until(&self, presence: Presence) {
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            if self.presence() >= presence {
                return;
            }
        }
    }

    fn presence(&self) -> Presence {
        if self.caller.gone.load(Ordering::Relaxed) {
            return Presence::Gone;
        }
        let presence = self.caller.origin.presence();
        self.caller.gone.store(presence == Presence::Gone, Ordering::Relaxed);
        presence
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.caller.program.get();
        formatter
            .debug_struct("Principal")
            .field("user", &self.caller.user)
            .field("program", &program)
            .finish_non_exhaustive()
    }
}

/// A caller outside of what the door can see.
struct Unseen;

#[async_trait]
impl Origin for Unseen {
    fn program(&self) -> Option<Program> {
        None
    }

    async fn argv0(&self) -> Option<String> {
        None
    }

    async fn has_loaded(&self, _part: &'static str) -> bool {
        false
    }

    fn presence(&self) -> Presence {
        Presence::Waits
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn a_payment_belongs_to_one_piece_of_work() {
        let caller = Principal::unidentified(User { uid: 1, gid: 1 });
        let (first, second) = (caller.anew(), caller.anew());
        first.clone().note_payment(true);
        assert!(first.has_paid() && !second.has_paid() && !caller.has_paid() && !first.anew().has_paid());
        first.note_payment(false);
        assert!(!first.has_paid(), "a call that the tenant refused for its rate is not billed");
    }

    /// A process that ends after it was looked at once.
    #[derive(Default)]
    struct Mortal(AtomicU32);

    #[async_trait]
    impl Origin for Arc<Mortal> {
        fn program(&self) -> Option<Program> {
            let comm = if self.0.fetch_add(1, Ordering::SeqCst) == 0 { "cat" } else { "" };
            Some(Program { pid: 7, comm: comm.to_owned(), ..Program::default() })
        }

        async fn argv0(&self) -> Option<String> {
            std::future::pending().await
        }

        async fn has_loaded(&self, _part: &'static str) -> bool {
            std::future::pending().await
        }

        fn presence(&self) -> Presence {
            if self.0.load(Ordering::SeqCst) > 0 { Presence::Gone } else { Presence::Waits }
        }
    }

    const USER: User = User { uid: 1000, gid: 100 };

    #[test]
    fn a_program_is_looked_up_once_and_not_before_it_matters() {
        let mortal = Arc::new(Mortal::default());
        let principal = Principal::new(USER, Arc::clone(&mortal));
        assert_eq!(mortal.0.load(Ordering::SeqCst), 0);
        principal.clone().identify();
        assert_eq!((principal.pid(), principal.comm()), (7, "cat"));
        assert!(principal.words().ends_with("program cat (process 7)"), "{}", principal.words());
        assert_eq!(mortal.0.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_gone_is_noticed_and_stays_gone() {
        let mortal = Arc::new(Mortal::default());
        let principal = Principal::new(USER, Arc::clone(&mortal));
        assert!(tokio::time::timeout(Duration::from_mins(1), principal.gone()).await.is_err());
        principal.identify();
        assert!(tokio::time::timeout(Duration::from_secs(1), principal.gone()).await.is_ok());
        mortal.0.store(0, Ordering::SeqCst);
        assert!(principal.has_gone());
        assert_eq!(principal.argv0().await, None, "a name that is not to be had holds nobody up");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_made_up_of_a_caller_who_cannot_be_seen() {
        let principal = Principal::unidentified(USER);
        assert_eq!((principal.program(), principal.pid(), principal.comm()), (None, 0, ""));
        assert!(principal.words().ends_with("an unknown program"));
        assert!(tokio::time::timeout(Duration::from_hours(1), principal.gone()).await.is_err());
    }
}

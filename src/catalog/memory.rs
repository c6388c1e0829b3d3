//! SQLite's memory is wiped when it is freed: pages and values of what was erased must not lie about in it. Knows no database.

#![expect(unsafe_code, reason = "SQLite takes its allocator as C functions")]

use std::ffi::{c_int, c_void};
use std::sync::Once;

use rusqlite::ffi;

/// Has SQLite use this memory from now on, if it was not used before in this process. To be called before a connection is opened.
pub(super) fn wipe_what_is_freed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let methods = ffi::sqlite3_mem_methods {
            xMalloc: Some(allocate),
            xFree: Some(free),
            xRealloc: Some(reallocate),
            xSize: Some(size),
            xRoundup: Some(round_up),
            xInit: Some(init),
            xShutdown: Some(shut_down),
            pAppData: std::ptr::null_mut(),
        };
        // SAFETY: SQLite copies the methods, which are C functions without state.
        let done = unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MALLOC, &raw const methods) };
        if done != ffi::SQLITE_OK {
            tracing::debug!(code = done, "SQLite is in use already: what it frees is not wiped");
        }
    });
}

unsafe extern "C" fn allocate(bytes: c_int) -> *mut c_void {
    // SAFETY: any size may be asked for; SQLite takes a null pointer for an answer.
    unsafe { libc::malloc(usize::try_from(bytes).unwrap_or(0)) }
}

unsafe extern "C" fn free(piece: *mut c_void) {
    if piece.is_null() {
        return;
    }
    // SAFETY: SQLite frees what `allocate` gave, once; all usable bytes of it may be written until then.
    unsafe {
        std::ptr::write_bytes(piece.cast::<u8>(), 0, libc::malloc_usable_size(piece));
        // The compiler must not leave out writes to what is about to be freed.
        std::hint::black_box(piece);
        libc::free(piece);
    }
}

unsafe extern "C" fn reallocate(piece: *mut c_void, bytes: c_int) -> *mut c_void {
    // SAFETY: `piece` comes from `allocate`; both pieces have the bytes that are copied.
    unsafe {
        let new = allocate(bytes);
        if !new.is_null() {
            let len = libc::malloc_usable_size(piece).min(usize::try_from(bytes).unwrap_or(0));
            std::ptr::copy_nonoverlapping(piece.cast::<u8>(), new.cast::<u8>(), len);
            free(piece);
        }
        new
    }
}

unsafe extern "C" fn size(piece: *mut c_void) -> c_int {
    // SAFETY: `piece` comes from `allocate`, or is null, which has no bytes.
    let bytes = unsafe { libc::malloc_usable_size(piece) };
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

unsafe extern "C" fn round_up(bytes: c_int) -> c_int {
    bytes.saturating_add(7) & !7
}

unsafe extern "C" fn init(_data: *mut c_void) -> c_int {
    ffi::SQLITE_OK
}

unsafe extern "C" fn shut_down(_data: *mut c_void) {}

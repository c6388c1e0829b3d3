//! Resolving with doubles for the tenant and the media host.

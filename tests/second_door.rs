//! Promise: a front end needs no inode and nothing of FUSE: by paths alone it walks, lists, opens and reads the tree, beside a mount that lives.

use std::net::SocketAddr;
use std::sync::Arc;

use cxonefs::base::SystemClock;
use cxonefs::config::{self, ConfigFile, Host, Sources, env::Environment};
use cxonefs::daemon::{Plan, assemble};
use cxonefs::sim::{Sim, SimSettings};
use cxonefs::tree::{Principal, User};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_door_walks_lists_opens_and_reads() {
    let space = tempfile::tempdir().unwrap();
    let [state, cache, secret, mount_point] = ["state", "cache", "secret", "mnt"].map(|name| space.path().join(name));
    let settings = SimSettings::default();
    std::fs::write(&secret, &settings.credentials.access_key_secret).unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::create_dir(&mount_point).unwrap();
    let sim = Sim::start(settings, SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(SystemClock)).await.unwrap();
    let file = ConfigFile { path: space.path().join("c.toml"), text: sim.config_toml(&state, &cache, &secret) };
    let sources = Sources { file: Some(file), environment: Environment::default(), ..Sources::default() };
    let config = config::resolve(&sources, &Host::of_process()).unwrap();
    let plan = Plan { config, mount_point: mount_point.clone(), reload: None, metrics: None, service_unmounts: false };
    let mut served = assemble::mount(&plan).await.unwrap();

    let (tree, somebody) = (Arc::clone(served.tree()), Principal::unidentified(User { uid: 0, gid: 0 }));
    let truth = sim.truth();
    let call = truth.iter().find(|known| known.known && known.mood == "fine" && !known.media.is_empty()).unwrap();
    let mut folder = None;
    for agent in tree.list(tree.walk(&call.day, &somebody).await.unwrap(), &somebody).await.unwrap().entries.iter() {
        let agent = format!("{}/{}", call.day, agent.name);
        let listing = tree.list(tree.walk(&agent, &somebody).await.unwrap(), &somebody).await.unwrap();
        let found = listing.entries.iter().find(|entry| entry.name.contains(&call.master.to_string()));
        folder = folder.or_else(|| found.map(|entry| format!("{agent}/{}", entry.name)));
    }
    for name in ["contact.json", "metadata.json", "recording.mp4"] {
        let path = format!("{}/{name}", folder.as_deref().unwrap());
        let file = tree.open(tree.walk(&path, &somebody).await.unwrap(), &somebody).await.unwrap();
        let bytes = file.read_at(0, file.size as u32, &somebody).await.unwrap();
        let mounted = tokio::fs::read(mount_point.join(&path)).await.unwrap();
        assert_eq!((bytes.len() as u64, &*bytes, file.etag().len()), (file.size, &*mounted, 32), "{path}");
    }
    assert_eq!(sim.counters().playback_billed, 1, "an interaction is paid for once, through whichever door");
    served.detach().unwrap();
    served.ended().await;
}

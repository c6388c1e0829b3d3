//! Behind the proxy of a company that has authorities of its own: what goes by it, what goes around it, who is trusted, and that its password is
//! written nowhere.

use std::net::SocketAddr;

use crate::harness::{
    Authority, Connecting, Done, Environment, Mount, Place, Sandbox, Tenant, Tree, assert_same_bytes, cxonefs, plain,
    true_bytes,
};

/// `bob:s3cret`, as it is sent.
const AUTHORIZATION: &str = "Basic Ym9iOnMzY3JldA==";

/// A tenant whose API and media are to be had by TLS alone, each with a certificate of another authority.
struct Company {
    tenant: Tenant,
    sandbox: Sandbox,
    api: SocketAddr,
    media: SocketAddr,
}

impl Company {
    /// The tenant's endpoints and links get these origins, where `{}` is the port.
    fn new(api_origin: &str, media_origin: &str) -> Company {
        let tenant = Tenant::start(plain(1, 2));
        let sandbox = Sandbox::of(&tenant);
        let names = "DNS:tenant.corp.example,DNS:media.corp.example,DNS:localhost,IP:127.0.0.1";
        let api = Authority::new(sandbox.root(), "authority-of-api").serve(names, tenant.address());
        let media = Authority::new(sandbox.root(), "authority-of-media").serve(names, tenant.address());
        let media_origin = media_origin.replace("{}", &media.port().to_string());
        tenant.switch(|switches| switches.media_origin = Some(media_origin));
        let company = Company { tenant, sandbox, api, media };
        let (plain, origin) = (company.origin(), api_origin.replace("{}", &api.port().to_string()));
        company.rewrite(|text| text.replace(&plain, &origin));
        company
    }

    fn origin(&self) -> String {
        format!("http://{}", self.tenant.address())
    }

    fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let text = std::fs::read_to_string(self.sandbox.config()).unwrap();
        std::fs::write(self.sandbox.config(), change(text)).unwrap();
    }

    fn trust(&self, section: &str, authority: &str) {
        let file = self.sandbox.path(&format!("{authority}.pem"));
        let line = format!("[{section}]\nca_file = \"{}\"\n", file.display());
        self.rewrite(|text| {
            let head = format!("[{section}]\n");
            if text.contains(&head) { text.replace(&head, &line) } else { format!("{text}\n{line}") }
        });
    }

    fn doctor(&self, environment: &Environment) -> Done {
        let mut tool = cxonefs(&self.sandbox.home()).args(["doctor", "--config"]).arg(self.sandbox.config());
        for (name, value) in environment {
            tool = tool.env(name, value);
        }
        tool.run()
    }

    #[track_caller]
    fn assert_read(&self, mount: &Mount, place: &Place) {
        let recording = mount.at(place.path.join("recording.mp4"));
        assert_same_bytes(&std::fs::read(&recording).unwrap(), &true_bytes(&self.tenant, place.master, 1), &recording);
    }

    fn mount(&self, environment: &Environment) -> Mount {
        Mount::start_in(&self.sandbox, &["--log-level", "trace"], environment.clone())
    }
}

fn behind(proxy: &Connecting, no_proxy: &str) -> Environment {
    let named = format!("http://bob:s3cret@{}", proxy.address());
    vec![("HTTPS_PROXY", named.into()), ("NO_PROXY", no_proxy.into())]
}

#[track_caller]
fn line<'a>(done: &'a Done, check: &str) -> &'a str {
    let line = done.stdout.lines().find(|line| line.split_once(' ').is_some_and(|(_, line)| line.starts_with(check)));
    line.unwrap_or_else(|| panic!("no {check} in {}{}", done.stdout, done.stderr))
}

/// Names that this machine cannot resolve, a proxy that can, two authorities that nobody else knows.
#[test]
fn a_mount_behind_a_proxy_that_has_its_own_authorities() {
    let company = Company::new("https://tenant.corp.example", "https://media.corp.example");
    let names = vec![("tenant.corp.example", company.api), ("media.corp.example", company.media)];
    let proxy = Connecting::start(names, Some(AUTHORIZATION));
    let environment = behind(&proxy, "");

    // An authority that nobody named: refused, with what to do.
    let done = company.doctor(&environment);
    let remedy = done.stdout.lines().find(|line| line.contains("tenant.ca_file"));
    assert!(done.code() == 1 && line(&done, "connection").starts_with('✗') && remedy.is_some(), "{}", done.stdout);

    company.trust("tenant", "authority-of-api");
    let tree = Tree::of(&company.tenant);
    let place = &tree.places[0];
    let recording = place.path.join("recording.mp4");
    {
        // The tenant's authority does not vouch for media.
        let mount = company.mount(&environment);
        std::fs::read(mount.at(&recording)).expect_err("media of an authority that nobody named");
    }
    company.trust("media", "authority-of-media");
    let mount = company.mount(&environment);
    cxonefs(&company.sandbox.home()).arg("refresh").arg(mount.path()).arg("--retry").ok();
    company.assert_read(&mount, place);
    assert_eq!(proxy.targets(), ["media.corp.example:443", "tenant.corp.example:443"]);
    assert_eq!(proxy.refused(), 0);

    let done = company.doctor(&environment);
    assert_eq!(done.code(), 0, "{}{}", done.stdout, done.stderr);
    let told = line(&done, "proxy");
    let shown = format!("http://{} with a name and a password for tenant.corp.example", proxy.address());
    assert!(told.starts_with('✓') && told.contains(&shown), "{told}");
    assert!(line(&done, "certificates").contains("authority-of-media.pem for media"), "{}", done.stdout);
    assert!(line(&done, "interception").starts_with('!'), "{}", done.stdout);
    assert!(line(&done, "name resolution").contains("the proxy resolves"), "{}", done.stdout);
    let said = format!("{}{}{}", done.stdout, done.stderr, mount.stderr());
    for secret in ["s3cret", "Ym9iOnMzY3JldA"] {
        assert!(!said.contains(secret), "the proxy's password was written down");
    }
}

/// Each host by its own rule: the tenant by the proxy, media around it; and no link leads into this network by way of the proxy.
#[test]
fn hosts_of_no_proxy_are_reached_directly_and_no_link_leads_inside() {
    let company = Company::new("https://127.0.0.1:{}", "https://localhost:{}");
    company.trust("tenant", "authority-of-api");
    company.trust("media", "authority-of-media");
    let proxy = Connecting::start(Vec::new(), Some(AUTHORIZATION));
    let environment = behind(&proxy, "localhost,.other.example");
    let mount = company.mount(&environment);
    let tree = Tree::of(&company.tenant);
    let (first, second) = (&tree.places[0], &tree.places[1]);
    company.assert_read(&mount, first);
    let api = format!("127.0.0.1:{}", company.api.port());
    assert_eq!(proxy.targets(), std::slice::from_ref(&api), "media went around the proxy");
    assert!(proxy.connects(&api) > 0);
    // The proxy would connect to this address; the link is refused before.
    company.tenant.switch(|switches| switches.media_origin = Some("https://169.254.169.254".to_owned()));
    std::fs::read(mount.at(second.path.join("recording.mp4"))).expect_err("a link into the network");
    assert_eq!(proxy.targets(), [api]);
    assert!(mount.stderr().contains("has a private address (169.254.169.254)"), "{}", mount.stderr());
}

/// What is wrong with a file of certificates is said before anything is mounted, with its name.
#[test]
fn a_file_of_certificates_that_cannot_be_used_is_named() {
    let company = Company::new("https://127.0.0.1:{}", "https://localhost:{}");
    company.trust("tenant", "authority-of-api");
    let file = company.sandbox.path("authority-of-api.pem");
    let good = std::fs::read_to_string(&file).unwrap();
    let refused = |why: &str| {
        let ended = Mount::attempt(&company.sandbox, &[]).err().expect("it mounted");
        assert_eq!(ended.code, Some(2), "{}", ended.said);
        assert!(ended.said.contains(why) && ended.said.contains("authority-of-api.pem"), "{}", ended.said);
    };
    std::fs::write(&file, "no certificate").unwrap();
    refused("holds no certificate in PEM form");
    std::fs::write(&file, good.replace("-----END CERTIFICATE-----", "")).unwrap();
    refused("has a part that is no PEM");
    std::fs::write(&file, &good).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    refused("can be changed by others");
    std::fs::remove_file(&file).unwrap();
    refused("cannot be read");
}

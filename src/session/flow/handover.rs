//! The end of a session that is none for its client: it goes along to another weir, which begins where this one stopped.
//!
//! Only a session between two requests goes, and only one that has nothing on any connection: all that it is can be said in
//! values then. What cannot be said so stays where it is, and is never left out.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::defaults::Defaults;
use crate::backend::settings::Settings;
use crate::cluster::defaults::Values;
use crate::config::{Listener, User};
use crate::net::{Peer, Stream};
use crate::scram::{ClientKey, PassKey, Verifier};
use crate::session::client::Client;
use crate::session::connections::Connections;
use crate::session::conversation::{Conversation, Who};
use crate::session::flow::greeting;
use crate::session::flow::visit::visitor;
use crate::session::leg::legs::Legs;
use crate::session::model::portable::{
    Blob, Portable, PortableDefaults, PortableKey, PortableSettings, PortableStatement, PortableWho,
    PortableWishes,
};
use crate::session::model::rebase::rebased;
use crate::session::model::settings::SessionSettings;
use crate::session::model::statement::{ReadBy, Reading};
use crate::session::model::statements::{Handle, Unnamed};
use crate::session::shared::Shared;
use crate::session::shared::gate::Names;
use crate::sql::StandardConformingStrings;
use crate::wire::startup::CancelKey;

/// A client that comes from another weir.
pub(crate) struct Comer {
    /// Its socket.
    pub stream: Stream,
    /// Where it is.
    pub peer: Peer,
    /// As whom it logged in.
    pub user: Arc<User>,
    /// By which listener.
    pub listener: Arc<Listener>,
    /// The rest.
    pub portable: Portable,
}

/// Whether a session could go along now.
pub(super) fn is_portable(
    (client, legs): (&Client, &Legs),
    conversation: &Conversation,
    connections: &Connections,
) -> bool {
    let Conversation { shared, who, state, pins_told, rerun, .. } = conversation;
    let Some(relief) = shared.kin.relief() else { return false };
    client.is_portable()
        && legs.active().is_none()
        && !connections.hold_unseen_state()
        && state.is_portable()
        && rerun.is_none()
        && pins_told.for_good().is_none()
        && relief.listeners.contains(&who.listener.address.to_string())
}

/// All that is known of the client.
pub(super) fn said(conversation: &Conversation) -> Portable {
    let Conversation { who, entry, state, defaults, .. } = conversation;
    let settings = state.settings();
    // What it has by its login alone it will be given again.
    let own = |settings: &Settings| {
        PortableSettings::from(&rebased(settings, defaults.told(), &Settings::default()))
    };
    let key = entry.key();
    Portable {
        who: PortableWho {
            user: who.user.name.to_string(),
            database: who.database.to_string(),
            server_database: who.server_database.to_string(),
            listener: who.listener.address.to_string(),
            pid: key.pid(),
            secret: Blob(key.secret().to_vec()),
            key: who.key.as_deref().map(pass_key),
        },
        settings: PortableWishes {
            wanted: own(settings.wanted()),
            own: settings.own().into(),
            startup: own(settings.startup()),
            own_startup: settings.own_startup().into(),
        },
        defaults: defaults.login().map(given),
        statements: state.names.all().map(|(name, handle)| named(name, handle)).collect(),
        unnamed: state.names.unnamed.as_ref().and_then(unnamed),
        escapes: conversation.told_strings() == StandardConformingStrings::Off,
        spoken: state.pins.spoken.placeholders.names().map(Into::into).collect(),
        received: Blob::default(),
    }
}

fn pass_key(key: &PassKey) -> PortableKey {
    let verifier = &key.verifier;
    PortableKey {
        iterations: verifier.iterations,
        salt: Blob(verifier.salt.clone()),
        stored: Blob(verifier.stored_key.to_vec()),
        server: Blob(verifier.server_key.to_vec()),
        client: Blob(key.client_key.expose().to_vec()),
    }
}

fn key_of(said: PortableKey) -> Option<Arc<PassKey>> {
    let bytes = |blob: Blob| <[u8; 32]>::try_from(blob.0).ok();
    let verifier = Verifier {
        iterations: said.iterations,
        salt: said.salt.0,
        stored_key: bytes(said.stored)?,
        server_key: bytes(said.server)?,
    };
    Some(Arc::new(PassKey::new(verifier, ClientKey::new(bytes(said.client)?))))
}

fn given(defaults: &Defaults) -> PortableDefaults {
    let (told, written, others) = defaults.parts();
    let pairs = |values: &Values| values.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    PortableDefaults { told: pairs(told), written: written.into(), others: pairs(others) }
}

fn named(name: &[u8], handle: &Handle) -> PortableStatement {
    let statement = &handle.statement;
    PortableStatement {
        name: Blob(name.to_vec()),
        sql: Blob(statement.sql.to_vec()),
        types: Blob(statement.types.to_vec()),
        told_types: handle.types.as_ref().map(|types| Blob(types.to_vec())),
        told: handle.told.map(Into::into),
        by: statement.prepared_under().map(Into::into),
    }
}

/// One too long to be kept is not there on another connection either.
fn unnamed(unnamed: &Unnamed) -> Option<PortableStatement> {
    Some(PortableStatement {
        sql: Blob(unnamed.sql.as_ref()?.to_vec()),
        types: Blob(unnamed.types.to_vec()),
        told: unnamed.told.map(Into::into),
        ..PortableStatement::default()
    })
}

/// Goes on with a client that another weir has served. `None` when somebody here has its process ID, or what is said of it
/// makes no sense.
pub(super) async fn resume(
    shared: Arc<Shared>,
    (user, listener): (Arc<User>, Arc<Listener>),
    peer: &Peer,
    portable: Portable,
) -> Option<Conversation> {
    let Portable { who: said, settings, defaults, statements, unnamed, escapes, spoken, .. } = portable;
    let mut who = Who::new(&shared.policy().config, user, &said.database, listener);
    // Where its connections lead stays as it was.
    who.server_database = (&*said.server_database).into();
    who.key = said.key.and_then(key_of);
    let entry = shared.registry.adopt(CancelKey::new(said.pid, said.secret.0)?, &who.user.server_user)?;
    let names = Names { client: who.database.clone(), server: who.server_database.clone() };
    entry.is_of(visitor(&shared, &who.user.name, &names, (peer, &who.listener)));
    let settings = SessionSettings::resumed(
        (settings.wanted.into(), settings.startup.into()),
        (settings.own.into(), settings.own_startup.into()),
    );
    let mut conversation = Conversation::new(shared.clone(), who, entry, settings.startup().clone());
    let state = &mut conversation.state;
    spoken.iter().for_each(|name| state.pins.spoken.placeholders.has_spoken_of(name));
    state.transaction.undoable_mut().change_for_good(|level| level.settings = settings.clone());
    conversation.enters();
    let conf = conversation.policy.conf.clone();
    conversation.defaults.begins(defaults.map(|said| login(&shared, said)), conf.as_ref());
    if escapes {
        conversation.is_told_strings("off");
    }
    conversation.refresh_routing();
    statements.into_iter().for_each(|said| prepare(&mut conversation, said));
    unnamed.into_iter().for_each(|said| prepare_unnamed(&mut conversation, said));
    // Whatever it has seen and written it has by now.
    conversation.tracking.hears(Instant::now());
    greeting::want_catalog(&mut conversation).await;
    Some(conversation)
}

/// What it was given at its login.
fn login(shared: &Shared, said: PortableDefaults) -> Defaults {
    let (told, others) = (said.told.into_iter().collect(), said.others.into_iter().collect());
    shared.pools.share(&Defaults::from_parts(told, said.written, others))
}

/// The client has a statement of this name. What it was told of it holds, and whoever prepares it for the client sees to that.
fn prepare(conversation: &mut Conversation, said: PortableStatement) {
    let verdict = conversation.shared.classifier.classify(&said.sql.0, conversation.strings());
    let (statements, state) = (conversation.shared.statements.clone(), &mut conversation.state);
    let by = said.by.map_or_else(|| state.settings().wanted().clone(), Into::into);
    let reading = Reading::By(ReadBy::under(&by, &said.sql.0));
    let statement = statements.intern(&said.sql.0, &said.types.0, &verdict, reading);
    statement.is_prepared_under(&by);
    let epoch = statement.epoch(state.database().ddl());
    let mut handle = Handle::new(statement, epoch, state.names.next_order());
    handle.told = said.told.map(Into::into);
    handle.types = said.told_types.map(|types| types.0.into());
    state.names.insert(&said.name.0, handle);
    state.names.settle();
}

fn prepare_unnamed(conversation: &mut Conversation, said: PortableStatement) {
    let verdict = conversation.shared.classifier.classify(&said.sql.0, conversation.strings());
    let serial = conversation.shared.statements.stamp().0;
    let unnamed = Unnamed::new(serial, Some(said.sql.0.into()), said.types.0.into(), verdict);
    conversation.state.names.unnamed = Some(Unnamed { told: said.told.map(Into::into), ..unnamed });
}

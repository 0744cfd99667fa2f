//! Messages of the database, on a connection of their own: one of the pool's would be lost to it for ever.

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::{Store, StoreError};

/// Channels that are listened to.
pub struct Notifications {
    listener: PgListener,
}

impl Store {
    /// Listens to channels at the server itself. `None`: there is only a pooler, and that passes no messages on.
    pub async fn listen(&self, channels: &[&str]) -> Result<Option<Notifications>, StoreError> {
        if self.pool.route().is_pooled() && self.direct.is_same() {
            return Ok(None);
        }
        let own = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let own = own.connect_lazy_with(self.to_server());
        let during = || StoreError::during("listening");
        let mut listener = PgListener::connect_with(&own).await.map_err(during())?;
        listener.listen_all(channels.iter().copied()).await.map_err(during())?;
        Ok(Some(Notifications { listener }))
    }
}

impl Notifications {
    /// The next message: its channel and its text. `None`: the connection was lost and is made anew, and messages may have been
    /// missed.
    pub async fn next(&mut self) -> Result<Option<(String, String)>, StoreError> {
        let message = self.listener.try_recv().await.map_err(StoreError::during("listening"))?;
        Ok(message.map(|message| (message.channel().to_owned(), message.payload().to_owned())))
    }
}

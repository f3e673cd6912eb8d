//! The registry as a client sees it: each check is a function of a host, and runs on both storages.
//! The checks follow the rows of `docs/reference/registry.md`. One binary, since each links the whole server.
#![expect(clippy::expect_used, clippy::panic, reason = "a panic is a failed test")]

mod access;
mod behind_a_link;
mod conditions;
mod directory;
mod discard;
mod google;
mod listing;
mod manifests;
mod obstacles;
mod peer;
mod referrers;
mod server;
mod settings;
mod shares;
mod shutdown;
mod tls;
mod uploads;

use tempfile::tempdir;

use self::peer::Peer;

/// Runs each check on a registry of its own, in memory and on a directory.
macro_rules! on_both_storages {
    ($($module:ident::$check:ident)*) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $check() {
                super::$module::$check(&super::Peer::in_memory().await).await;
            })*
        }
        mod on_a_directory {
            $(#[tokio::test]
            async fn $check() {
                let directory = tempfile::tempdir().expect("a directory");
                super::$module::$check(&super::Peer::on(directory.path()).await).await;
            })*
        }
    };
}

on_both_storages! {
    uploads::every_way_to_push_a_blob_gives_the_same_blob
    uploads::an_empty_blob_is_a_blob
    uploads::a_wrong_digest_is_never_kept
    uploads::an_upload_out_of_order_is_refused_and_goes_on
    uploads::chunks_of_another_length_than_announced_are_refused
    uploads::a_cancelled_upload_is_gone
    uploads::an_upload_cut_off_goes_on_where_it_broke
    uploads::a_mount_needs_the_blob_there
    uploads::parts_of_blobs_are_read
    uploads::the_whole_blob_is_meant_where_a_range_does_not_count
    uploads::a_blob_is_seen_only_where_it_was_pushed
    uploads::deleted_blobs_are_gone
    uploads::a_session_may_say_its_algorithm_first
    manifests::manifests_are_served_as_they_were_pushed
    manifests::the_media_type_is_the_one_pushed_or_its_own
    manifests::a_manifest_needs_all_it_points_to
    manifests::a_layer_of_a_manifest_media_type_is_looked_up_among_blobs
    manifests::bad_manifests_are_refused
    manifests::the_longest_manifest_is_taken_and_a_longer_one_refused
    manifests::a_tag_moves_and_the_manifest_stays
    manifests::deleting_a_tag_leaves_the_manifest
    manifests::deleting_a_manifest_deletes_its_tags
    manifests::a_manifest_with_more_tags_than_go_at_once_is_deleted
    manifests::one_push_writes_several_tags
    referrers::referrers_are_listed_with_what_they_say
    referrers::referrers_are_filtered_by_type
    referrers::referrers_come_by_pages
    referrers::a_page_is_no_longer_than_a_manifest
    referrers::a_subject_need_not_be_there
    referrers::a_deleted_referrer_is_not_listed
    conditions::what_is_known_is_not_sent_again
    conditions::a_range_counts_for_the_same_content
    conditions::a_tag_is_written_only_if_its_condition_holds
    conditions::of_many_who_write_a_new_tag_one_does
    conditions::deleting_honours_conditions
    listing::tags_are_listed_by_pages
    listing::repositories_that_hold_something_are_listed
    listing::every_error_has_the_specifications_body
}

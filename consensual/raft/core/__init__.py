"""Pure Raft: events in, effects out. No asyncio, time, randomness, I/O or logging here.

Where is which rule? Sections are of the extended Raft paper; "thesis" is
Ongaro's dissertation. A test checks that every row resolves.

==========================================  ======================================  ================
rule                                        function                                source
==========================================  ======================================  ================
a later term makes a follower               terms.observe                           §5.1
one vote per term, repeated to the same     election.grant_vote                     §5.2, Figure 2
the more complete log wins                  election.is_up_to_date                  §5.4.1
voters hold on to a live leader             election.hears_leader                   thesis §4.2.3
a leader that crashed is not waited for     election.stop_waiting                   §5.2
a majority makes a leader                   election.win_by_majority                §5.2
a new leader appends a no-op                replication.append_no_op                §8
randomised election timeouts                state.State.draw_election_deadline      §5.2
a pre-vote changes nothing                  prevote.answer_pre_vote_request         thesis §9.6
an election is asked for beforehand         prevote.time_out                        thesis §9.6
a leader without quorum steps down          replication.beat                        thesis §6.2
the leader appends, nobody else             replication.take_proposals              §5.3
the consistency check                       replication.follow                      §5.3
truncate only where entries conflict        replication._append_missing             §5.3, Figure 2
go back whole terms to agree                replication._find_agreement             §5.3
commit only the current term by counting    commitment.advance_commit_index         §5.4.2, Figure 8
what is a majority, also while joint        quorum.has_quorum                       §5.2, §6
what a majority has reached                 quorum.agreed_value                     §5.3, §6
nothing is revealed before it is durable    durability.Durability.withhold_answer   Figure 2
a leader writes while it sends              durability.Durability.send_in_parallel  thesis §10.2.1
cluster, incarnation, then term             identity.refuse_stranger                design §4
only the empty may join                     identity.is_empty                       design §4
a non-member is told that it was removed    identity.refuse_removed                 §6
one membership change at a time             membership.refuse_change                §6
newcomers are learners first                membership.admit_newcomers              thesis §4.2.1
a voter without its data is a newcomer      membership.readmit_lost                 design §4
learners are promoted or dropped            membership.promote_or_drop              thesis §4.2.1
both majorities decide while joint          membership.enter_joint                  §6
leaving joint is automatic                  membership.leave_joint                  §6
a configuration is in force when appended   state.State.append                      §6
a truncated configuration is rolled back    state.State.truncate                    §6
a removed node leaves                       membership.notice_removal               §6
a removed leader hands over                 transfer.retire                         §6
leadership is transferred                   transfer.hand_over                      thesis §3.10
the successor stands at once                transfer.take_over                      thesis §3.10
a read waits for the leader's own term      reads.open_round                        thesis §6.4
a read waits for a quorum of its round      reads.release_confirmed                 thesis §6.4
a command is applied once                   sessions.Sessions.find                  thesis §6.3
a snapshot stands for what it covers        snapshots.take                          §7
a snapshot replaces a log that lacks it     snapshots.install                       §7
a snapshot is sent in pieces                snapshots.send_pieces                   §7, Figure 13
the cluster's clock never goes back         replication.stamp                       design §2
a node goes solo                            solo.go_solo                            design §2
==========================================  ======================================  ================
"""

defmodule Hive do
  @moduledoc """
  Workers in a Horde that a visitor can start, look at, kill and move, and notes in a DeltaCrdt.

      Hive.start(4)        four workers, on whichever members Horde chooses
      Hive.where()         worker => node
      Hive.bump(2)         counts a worker up, wherever it is
      Hive.kill(2)         Horde starts it again
      Hive.note(:k, 1)     in every member's Hive.notes()
  """
  use Application

  @impl true
  def start(_type, _args) do
    members = for name <- String.split(System.fetch_env!("MEMBERS"), ","), do: String.to_atom(name)
    # Members that come later connect to those that are there already.
    topologies = [hive: [strategy: Cluster.Strategy.Epmd, config: [hosts: members, timeout: 1_000]]]

    children = [
      {Cluster.Supervisor, [topologies, [name: Hive.Cluster]]},
      {Horde.Registry, name: Hive.Registry, keys: :unique, members: :auto},
      {Horde.DynamicSupervisor, name: Hive.Supervisor, strategy: :one_for_one, members: :auto},
      {DeltaCrdt, crdt: DeltaCrdt.AWLWWMap, name: Hive.Notes, sync_interval: 100},
      {Hive.Watcher, members}
    ]

    Supervisor.start_link(children, strategy: :one_for_one, name: Hive.Top)
  end

  def start(count) do
    for n <- 1..count, do: Horde.DynamicSupervisor.start_child(Hive.Supervisor, {Hive.Worker, n})
    where()
  end

  def where do
    found = Horde.Registry.select(Hive.Registry, [{{:"$1", :"$2", :_}, [], [{{:"$1", :"$2"}}]}])
    for {key, pid} <- found, into: %{}, do: {key, node(pid)}
  end

  def bump(n), do: GenServer.call(Hive.Worker.via(n), :bump)

  def kill(n), do: n |> Hive.Worker.via() |> GenServer.whereis() |> Process.exit(:kill)

  def note(key, value), do: DeltaCrdt.put(Hive.Notes, key, value)

  def notes, do: DeltaCrdt.to_map(Hive.Notes)
end

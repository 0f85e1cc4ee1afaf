defmodule Hive.Watcher do
  @moduledoc "Keeps the notes' neighbours what the cluster is, and logs members and workers whenever they change."
  use GenServer

  def start_link(members), do: GenServer.start_link(__MODULE__, members, name: __MODULE__)

  @impl true
  def init(members) do
    send(self(), :look)
    {:ok, {members, nil}}
  end

  @impl true
  def handle_info(:look, {members, seen}) do
    Process.send_after(self(), :look, 1_000)
    now = {Enum.sort([node() | Node.list()]), Hive.where()}

    if now != seen do
      {nodes, workers} = now
      beams = for node <- Node.list(), node in members, do: {Hive.Notes, node}
      DeltaCrdt.set_neighbours(Hive.Notes, beams)
      IO.puts("#{node()}: members #{Enum.join(nodes, ", ")}; workers #{inspect(workers)}")
    end

    {:noreply, {members, now}}
  end
end
